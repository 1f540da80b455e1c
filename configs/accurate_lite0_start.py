"""What accurate-lite0 and robust-lite0 start from: an undefended model of BIQ2021's photos at half their size.

    riqa train accurate_lite0_start --data DIR_OF_BIQ2021

256x256: a quarter of the cost of whole photos, and frozen features predict people as well there.
Expected: SROCC .839 on the 1,000 validation photos; forty minutes on one core.
"""

from robust_iqa_jax.models.spec import ModelSpec
from robust_iqa_jax.training.config import TrainConfig


def get_config() -> TrainConfig:
    """All layers, on crops of 9,000 photos."""
    return TrainConfig(
        name="accurate_lite0_start",
        model=ModelSpec(input_size=(256, 256)),
        data="biq2021",
        test_group="test",
        validation_group="validation",
        validate_every=1000,
        keep="last",
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
