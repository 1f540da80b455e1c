"""A model with a guarantee by construction, every layer 1-Lipschitz, on the photos that the shipped models learn from.

    riqa train lipschitz --data DIR_OF_BIQ2021 --also DIR_OF_CLIVE/scores.csv
    riqa certify photo.jpg --checkpoint runs/lipschitz --exact --norm linf --radius 1/255

From random weights: no pretrained ones have such layers. CLIVE's fold 0 is in no training. The head is fitted in closed
form before the steps and after them; an hour on one core. Measured: SROCC .437 on BIQ2021's test photos and .418 on
CLIVE's fold 0, and the certainty that 1/255 moves none of the former's scores by more than .07 of their range.
"""

import dataclasses

from robust_iqa_jax.configs import accurate_lite0
from robust_iqa_jax.models.spec import ModelSpec
from robust_iqa_jax.training.config import TrainConfig


def get_config() -> TrainConfig:
    """The recipe of the accurate model, with a higher rate, smaller crops and the model's own loss."""
    return dataclasses.replace(
        accurate_lite0.get_config(),
        name="lipschitz",
        model=ModelSpec(architecture="lipschitz", input_size=(320, 320)),
        start_from=None,
        steps=1000,
        learning_rate=1e-3,
        crop=160,
        warmup=50,
    )
