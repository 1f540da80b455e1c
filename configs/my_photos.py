"""A robust model of your own photos and scores, from robust-lite0.

    riqa train my_photos --data MY.csv

A CSV with a column of image names and one of scores, higher is better. Without a column of groups a fifth of the
photos, chosen by their names, is tested on. All layers are trained, scores of attacked photos are held at those of the
clean ones, and the model is put on your scores' scale; compare it with robust-lite0 by `riqa evaluate robust-lite0
runs/my_photos --data MY.csv`, and fine-tune longer with --epochs.
"""

from pathlib import Path

from robust_iqa_jax.defenses.consistency import ConsistencyConfig
from robust_iqa_jax.models.spec import ModelSpec
from robust_iqa_jax.training.config import TrainConfig


def get_config() -> TrainConfig:
    """Ten passes over the photos, at a third of the rate that robust-lite0 was trained with."""
    return TrainConfig(
        name="my_photos",
        model=ModelSpec(input_size=(256, 256)),
        data="scores.csv",
        start_from=Path("robust-lite0"),
        epochs=10,
        batch_size=16,
        learning_rate=1e-4,
        backbone_factor=1,
        decay="cosine",
        warmup=20,
        clip=5.0,
        ema=0.99,
        backbone_stats="frozen",
        crop=192,
        consistency=ConsistencyConfig(beta=0.5, ramp=0.1),
    )
