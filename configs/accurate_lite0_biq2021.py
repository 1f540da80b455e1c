"""First step of the recipe of both models that ship: an undefended model on BIQ2021.

    riqa train accurate_lite0_biq2021 --data DIR_OF_BIQ2021

Photos at half their size, 256x256: a quarter of the cost of whole ones, and frozen features predict people as well
there. The validation photos are looked at once, at the end.
"""

from robust_iqa_jax.models.spec import ModelSpec
from robust_iqa_jax.training.config import TrainConfig


def get_config() -> TrainConfig:
    """All layers, on crops of 9,000 photos."""
    return TrainConfig(
        name="accurate_lite0_biq2021",
        model=ModelSpec(input_size=(256, 256)),
        data="biq2021",
        test_group="test",
        validation_group="validation",
        validate_every=100_000,
        head_epochs=20,
        steps=2000,
        batch_size=16,
        learning_rate=3e-4,
        backbone_factor=1,
        decay="cosine",
        warmup=100,
        clip=5.0,
        ema=0.995,
        backbone_stats="frozen",
        crop=192,
    )
