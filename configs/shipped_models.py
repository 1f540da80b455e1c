"""What the cards of the shipped models are measured with: both models on BIQ2021's official test photos.

    riqa evaluate configs/shipped_models.py --out runs/shipped     # BIQ2021's folder as biq2021/ beside it

Killed, it goes on.
"""

from robust_iqa_jax.evaluation.suite import SuiteAttack, SuiteConfig, SuiteData
from robust_iqa_jax.models.shipped import DEFAULT, UNDEFENDED

EPS = (4 / 255,)
SMALL_STEPS = {"step_size": EPS[0] / 20, "keep_best": True}
"""From the photo itself: what a model that was trained against short attacks is weakest against."""


def get_config() -> SuiteConfig:
    """Accuracy on 2,000 photos, gains on 200."""
    return SuiteConfig(
        models={UNDEFENDED: UNDEFENDED, DEFAULT: DEFAULT},
        data={"biq2021": SuiteData("biq2021", "test", attack_photos=200)},
        attacks=(
            SuiteAttack("pgd", EPS, {"steps": 1}),
            SuiteAttack("pgd", EPS, {"steps": 8}),
            SuiteAttack("apgd", EPS, {"steps": 20}),
            SuiteAttack("apgd", EPS, {"steps": 20, "direction": "lower"}),
            SuiteAttack("mi-fgsm", EPS, {"steps": 20, **SMALL_STEPS}),
            SuiteAttack("mi-fgsm", EPS, {"steps": 20, **SMALL_STEPS, "direction": "lower"}),
        ),
    )
