"""koniq_linearity_r101.py with a RobustBlock at position 4: inside layer2, before its third block.

    riqa train koniq_linearity_r101_robust_4 --data DIR

The block is drawn and trained with the head; the authors' code leaves it as it was drawn (--freeze-block).
Published: SROCC .854, PLCC .876.
"""

import dataclasses

from robust_iqa_jax.configs import koniq_linearity_r101
from robust_iqa_jax.models.linearity_iqa import POSITIONS
from robust_iqa_jax.training.config import TrainConfig


def get_config() -> TrainConfig:
    """The model with the block."""
    base = koniq_linearity_r101.get_config()
    return dataclasses.replace(
        base, name="linearity-resnet101-robust-4", model=dataclasses.replace(base.model, block=POSITIONS["4"])
    )
