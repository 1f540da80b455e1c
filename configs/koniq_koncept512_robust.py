"""koniq_koncept512.py with a RobustBlock behind its last block, 2080 -> 1040 -> 2080 channels.

    riqa train koniq_koncept512_robust --data DIR

No row of the paper, but what koniq_koncept512_robust_pruned.py starts from.
"""

import dataclasses

from robust_iqa_jax.configs import koniq_koncept512
from robust_iqa_jax.models.presets import preset
from robust_iqa_jax.training.config import TrainConfig


def get_config() -> TrainConfig:
    """The model with the block."""
    return dataclasses.replace(
        koniq_koncept512.get_config(), name="koncept512-robust", model=preset("koncept512-robust")
    )
