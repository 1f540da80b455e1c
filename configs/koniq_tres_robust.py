"""koniq_tres.py with a RobustBlock behind layer3, 1024 -> 512 -> 1024 channels: "+our" of the paper's table 2.

    riqa train koniq_tres_robust --data DIR

Not pruned: the authors' branch for TReS has no pruning (docs/sources.md 3.3).
Published: SROCC .919, PLCC .929.
"""

import dataclasses

from robust_iqa_jax.configs import koniq_tres
from robust_iqa_jax.models.presets import preset
from robust_iqa_jax.training.config import TrainConfig


def get_config() -> TrainConfig:
    """The model with the block."""
    return dataclasses.replace(koniq_tres.get_config(), name="tres-robust", model=preset("tres-robust"))
