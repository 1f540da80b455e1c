"""The model of koniq_linearity_r101_robust.py with 10 % of its filters pruned by l2: "+our" of the paper's table 2.

    riqa train koniq_linearity_r101_robust_pruned --data DIR

Fine-tuned under the masks for 5 epochs at 1e-6 (sources.md 3.3); `riqa prune --compact` then takes the filters out.
Published: SROCC .921, PLCC .935.
"""

import dataclasses
from pathlib import Path

from robust_iqa_jax.configs import koniq_linearity_r101_robust
from robust_iqa_jax.training.config import TrainConfig


def get_config() -> TrainConfig:
    """The pruned model."""
    return dataclasses.replace(
        koniq_linearity_r101_robust.get_config(),
        name="linearity-resnet101-robust-pruned",
        start_from=Path("runs/linearity-resnet101-robust"),
        prune=0.1,
        prune_method="l2",
        epochs=5,
        learning_rate=1e-6,
    )
