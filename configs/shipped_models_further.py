"""What the cards of the shipped models have besides: other sizes and kinds of attacks, masked gradients.

    riqa evaluate configs/shipped_models_further.py --out runs/further     # BIQ2021's folder as biq2021/ beside it

On few photos: an attacked photo costs a minute or two on one core. Killed, it goes on.
"""

import dataclasses

from robust_iqa_jax.configs import shipped_models
from robust_iqa_jax.evaluation.suite import SuiteAttack, SuiteConfig, SuiteData

EPS = (4 / 255,)
OTHER_EPS = (1 / 255, 2 / 255, 8 / 255)


def get_config() -> SuiteConfig:
    """On 24 photos."""
    return dataclasses.replace(
        shipped_models.get_config(),
        data={"biq2021": SuiteData("biq2021", "test", attack_photos=24, fit_photos=24)},
        attacks=(
            SuiteAttack("apgd", OTHER_EPS, {"steps": 20}),
            SuiteAttack("apgd", (1.0,), {"steps": 20, "norm": "l2"}),
            SuiteAttack("suite", EPS, {"steps": 20, "restarts": 1, "queries": 100}),
            SuiteAttack("suite", EPS, {"steps": 20, "restarts": 1, "queries": 100, "direction": "lower"}),
            SuiteAttack("stadv", settings={"steps": 10}),
            SuiteAttack("uap", EPS, {"epochs": 5}),
        ),
        masking=True,
    )
