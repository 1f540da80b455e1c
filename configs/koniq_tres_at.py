"""The model of koniq_tres.py, trained further on attacked crops (AT) as the paper's authors ran it.

    riqa train koniq_tres_at --data DIR

From the trained model: one step of 3/255 that raises the loss, from a uniform start in a ball of 2/255; attacked crops
only, with their own labels (docs/sources.md 3.2, A-TReS without its defects).
Published: SROCC .886, PLCC .904.
"""

import dataclasses
from pathlib import Path

from robust_iqa_jax.configs import koniq_tres
from robust_iqa_jax.defenses.adversarial_training import PRESETS
from robust_iqa_jax.training.config import TrainConfig


def get_config() -> TrainConfig:
    """The adversarially trained model."""
    return dataclasses.replace(
        koniq_tres.get_config(), name="tres-at", start_from=Path("runs/tres"), adversarial=PRESETS["tres"]
    )
