"""A robust model of your own photos and scores, from robust-lite0.

    riqa train my_photos --data MY.csv

A CSV with a column of image names and one of scores, higher is better. Without a column of groups a fifth of the
photos, chosen by their names, is tested on. All layers are trained, scores of attacked photos are held at those of the
clean ones, and the model is put on your scores' scale; compare it with robust-lite0 by `riqa evaluate robust-lite0
runs/my_photos --data MY.csv`, and fine-tune longer with --epochs.
"""

import dataclasses
from pathlib import Path

from robust_iqa_jax.configs import robust_lite0
from robust_iqa_jax.training.config import TrainConfig


def get_config() -> TrainConfig:
    """Ten passes over the photos, at a third of the rate that robust-lite0 was trained with."""
    return dataclasses.replace(
        robust_lite0.get_config(),
        name="my_photos",
        data="scores.csv",
        also=(),
        also_test_groups=(),
        also_lines=(),
        also_times=(),
        validation_group=None,
        validate_every=None,
        keep="best",
        start_from=Path("robust-lite0"),
        epochs=10,
        steps=None,
        learning_rate=1e-4,
        warmup=20,
        ema=0.99,
        distillation=None,
    )
