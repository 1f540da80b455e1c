"""koniq_linearity_r101.py with a RobustBlock at position 2: behind the stem, before layer1.

    riqa train koniq_linearity_r101_robust_2 --data DIR

The block is drawn and trained with the head; the authors' code leaves it as it was drawn (--freeze-block).
Published: SROCC .793, PLCC .823.
"""

import dataclasses

from robust_iqa_jax.configs import koniq_linearity_r101
from robust_iqa_jax.models.linearity_iqa import POSITIONS
from robust_iqa_jax.training.config import TrainConfig


def get_config() -> TrainConfig:
    """The model with the block."""
    base = koniq_linearity_r101.get_config()
    return dataclasses.replace(
        base, name="linearity-resnet101-robust-2", model=dataclasses.replace(base.model, block=POSITIONS["2"])
    )
