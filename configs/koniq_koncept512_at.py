"""The model of koniq_koncept512.py, trained further on attacked photos (AT) as the paper's authors ran it.

    riqa train koniq_koncept512_at --data DIR

From the trained model, 30 epochs: one step of 5/255 that raises the loss, from a uniform start in a ball of 4/255;
attacked photos only, with their own labels (docs/sources.md 3.2, A-Kon).
Published: SROCC .815, PLCC .850.
"""

import dataclasses
from pathlib import Path

from robust_iqa_jax.configs import koniq_koncept512
from robust_iqa_jax.defenses.adversarial_training import PRESETS
from robust_iqa_jax.training.config import TrainConfig


def get_config() -> TrainConfig:
    """The adversarially trained model."""
    return dataclasses.replace(
        koniq_koncept512.get_config(),
        name="koncept512-at",
        start_from=Path("runs/koncept512"),
        epochs=30,
        adversarial=PRESETS["koncept512"],
    )
