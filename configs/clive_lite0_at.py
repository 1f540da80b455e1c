"""The model of clive_lite0.py, trained further on attacked photos whose labels SSIM lowers (AT, wianluna/metrics_at).

    riqa train clive_lite0_at --data DIR/scores.csv --test-group 0 --start-from runs/clive_lite0_fold0

As published it starts from a trained model, attacks with one step of 5/255 in a ball of 4/255, and trains on attacked
and clean photos together.
"""

import dataclasses
from pathlib import Path

from robust_iqa_jax.configs import clive_lite0
from robust_iqa_jax.defenses.adversarial_training import AdversarialConfig
from robust_iqa_jax.training.config import TrainConfig


def get_config() -> TrainConfig:
    """The adversarially trained model."""
    return dataclasses.replace(
        clive_lite0.get_config(),
        name="clive_lite0_at",
        start_from=Path("runs/clive_lite0_fold0"),
        head_epochs=0,
        cache_frozen=False,
        batch_size=8,
        learning_rate=5e-5,  # a quarter of clive_lite0's, like the batch
        adversarial=AdversarialConfig(),
    )
