"""The model of clive_lite0.py, trained with gradient-norm regularisation (NT, arXiv 2403.11397).

    riqa train clive_lite0_nt --data DIR/scores.csv --test-group 0 --workdir runs/clive_nt_fold0

The penalty needs pixels, so that no maps are cached, and batches are small. It is taken of scores in standard
deviations of their batch, because norm-in-norm leaves their scale free and shrinking them would be the cheapest way to
lower it.
"""

import dataclasses

from robust_iqa_jax.configs import clive_lite0
from robust_iqa_jax.defenses.gradient_norm import GradientNormConfig
from robust_iqa_jax.training.config import TrainConfig


def get_config() -> TrainConfig:
    """The regularised model."""
    return dataclasses.replace(
        clive_lite0.get_config(),
        name="clive_lite0_nt",
        cache_frozen=False,
        batch_size=8,
        learning_rate=5e-5,  # a quarter of clive_lite0's, like the batch
        # One PGD step of 4/255 gains .436 score ranges of clive_lite0, so D is about 30 standard deviations a unit, and
        # the weighted penalty starts at about .2, the size of the loss beside it.
        gradient_norm=GradientNormConfig(h=0.01, weight=5e-4, relative=True),
    )
