"""The model of koniq_koncept512_robust.py with 10 % of its filters pruned by l2: "+our" of the paper's table 2.

    riqa train koniq_koncept512_robust_pruned --data DIR

Fine-tuned under the masks for 15 epochs at 1e-5, the authors' preset; their command line has 1e-4 (sources.md 3.3).
Published: SROCC .884, PLCC .908.
"""

import dataclasses
from pathlib import Path

from robust_iqa_jax.configs import koniq_koncept512_robust
from robust_iqa_jax.training.config import TrainConfig


def get_config() -> TrainConfig:
    """The pruned model."""
    return dataclasses.replace(
        koniq_koncept512_robust.get_config(),
        name="koncept512-robust-pruned",
        start_from=Path("runs/koncept512-robust"),
        prune=0.1,
        prune_method="l2",
        epochs=15,
        learning_rate=1e-5,
    )
