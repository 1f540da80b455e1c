"""The total loss of a model's outputs, and the losses of scores by the names that configurations use.
Source: LinearityIQA's weights of the score and of the auxiliary scores (arXiv 2008.03889, IQAloss.py)."""

from collections.abc import Callable
from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.losses.norm_in_norm import linearity, norm_in_norm
from robust_iqa_jax.losses.ranking import pairwise_ranking
from robust_iqa_jax.losses.regression import absolute_error, squared_error

ScoreLoss = Callable[[Float[Array, " n"], Float[Array, " n"]], Float[Array, ""]]
"""(predictions, opinion scores) -> loss."""
OutputLoss = Callable[[Float[Array, "n outputs"], Float[Array, " n"]], Float[Array, ""]]
"""(outputs of a model, the score last, opinion scores) -> loss."""

LossName = Literal["norm-in-norm", "linearity", "squared", "absolute", "ranking"]

LOSSES: dict[LossName, ScoreLoss] = {
    "norm-in-norm": norm_in_norm,
    "linearity": linearity,
    "squared": squared_error,
    "absolute": absolute_error,
    "ranking": pairwise_ranking,
}

AUXILIARY_WEIGHT = 0.1
"""Weight of each tap's auxiliary score in the total loss; the score itself has weight 1."""


def total_loss(loss: ScoreLoss, outputs: Float[Array, "n outputs"], targets: Float[Array, " n"]) -> Float[Array, ""]:
    """Loss of the score plus AUXILIARY_WEIGHT times that of each auxiliary score, where the model has any.

    Args:
      loss: (predictions, targets) -> scalar.
      outputs: (n, outputs), auxiliary scores first, the score last.
      targets: (n,) opinion scores.

    Returns:
      scalar.
    """
    auxiliary = [loss(outputs[:, i], targets) for i in range(outputs.shape[1] - 1)]
    return loss(outputs[:, -1], targets) + AUXILIARY_WEIGHT * jnp.sum(jnp.asarray(auxiliary))


def linearity_iqa_loss(outputs: Float[Array, "n taps+1"], targets: Float[Array, " n"]) -> Float[Array, ""]:
    """Total loss of LinearityIQA as published: norm-in-norm of each output."""
    return total_loss(norm_in_norm, outputs, targets)
