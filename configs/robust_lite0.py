"""The model that ships as the default, robust-lite0: consistency training of all layers.

    riqa train robust_lite0 --data DIR_OF_BIQ2021        # after lite0_at_256 and lite0_at_500

It starts from an accurate model, which decides: from ImageNet's weights the loss of clean photos stays high. The model
has the weights of the last step, not those of the best SROCC, which are the least defended.
EXPECTED
"""

import dataclasses

from robust_iqa_jax.configs import accurate_lite0
from robust_iqa_jax.defenses.consistency import ConsistencyConfig
from robust_iqa_jax.training.config import TrainConfig


def get_config() -> TrainConfig:
    """Scores of attacked photos held at those of the clean ones."""
    return dataclasses.replace(
        accurate_lite0.get_config(),
        name="robust_lite0",
        steps=800,
        warmup=100,
        consistency=ConsistencyConfig(beta=0.6, ramp=0.1),
    )
