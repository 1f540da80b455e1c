"""Losses of scores against opinion scores, one concept a file."""

from robust_iqa_jax.training.losses.earth_mover import earth_mover, squared_earth_mover
from robust_iqa_jax.training.losses.monotonicity import monotonicity
from robust_iqa_jax.training.losses.norm_in_norm import linearity, norm_in_norm
from robust_iqa_jax.training.losses.ranking import pairwise_ranking
from robust_iqa_jax.training.losses.regression import absolute_error, squared_error
from robust_iqa_jax.training.losses.total import LOSSES, LossName, linearity_iqa_loss, total_loss

__all__ = [
    "LOSSES",
    "LossName",
    "absolute_error",
    "earth_mover",
    "linearity",
    "linearity_iqa_loss",
    "monotonicity",
    "norm_in_norm",
    "pairwise_ranking",
    "squared_earth_mover",
    "squared_error",
    "total_loss",
]
