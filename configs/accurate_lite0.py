"""The undefended model that ships, accurate-lite0, and the range that gains are measured in.

    riqa train accurate_lite0 --data DIR_OF_BIQ2021      # after lite0_at_256 and lite0_at_500

EXPECTED
"""

import dataclasses
from pathlib import Path

from robust_iqa_jax.configs import lite0_at_500
from robust_iqa_jax.models.spec import ModelSpec
from robust_iqa_jax.training.config import TrainConfig


def get_config() -> TrainConfig:
    """All layers at the size that the model ships with."""
    return dataclasses.replace(
        lite0_at_500.get_config(),
        name="accurate_lite0",
        model=ModelSpec(input_size=(384, 384)),
        also_times=(8,),
        start_from=Path("runs/lite0_at_500"),
        steps=400,
        warmup=30,
        crop=256,
    )
