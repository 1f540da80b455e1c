"""First half of the recipe of robust-lite0: consistency training on BIQ2021, before CLIVE joins in `robust_lite0`.

    riqa train robust_lite0_biq2021 --data DIR_OF_BIQ2021 --workdir runs/robust_lite0_biq2021
"""

from robust_iqa_jax.defenses.consistency import ConsistencyConfig
from robust_iqa_jax.models.spec import ModelSpec
from robust_iqa_jax.training.config import TrainConfig


def get_config() -> TrainConfig:
    """Consistency training on 9,000 photos at half their size."""
    return TrainConfig(
        name="robust_lite0_biq2021",
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
        consistency=ConsistencyConfig(),
    )
