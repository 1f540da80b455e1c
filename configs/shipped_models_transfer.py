"""What the cards of the shipped models have besides: each under attacks that were made on the other.

    riqa evaluate configs/shipped_models_transfer.py --out runs/transfer     # BIQ2021's folder as biq2021/ beside it

Killed, it goes on.
"""

import dataclasses

from robust_iqa_jax.configs import shipped_models
from robust_iqa_jax.evaluation.suite import SuiteAttack, SuiteConfig, SuiteData


def get_config() -> SuiteConfig:
    """On 48 photos."""
    return dataclasses.replace(
        shipped_models.get_config(),
        data={"biq2021": SuiteData("biq2021", "test", attack_photos=48)},
        attacks=(
            SuiteAttack("apgd", shipped_models.EPS, {"steps": 20}),
            SuiteAttack("apgd", shipped_models.EPS, {"steps": 20, "direction": "lower"}),
        ),
        transfer=True,
    )
