"""Squared and absolute error of scores, for models that are trained on the scale of the labels.
Sources: arXiv 1910.06180 (KonCept512, squared), SSL92/hyperIQA and arXiv 2108.06858 (absolute)."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.training.losses.arguments import check_pair


def squared_error(predictions: Float[Array, " n"], targets: Float[Array, " n"]) -> Float[Array, ""]:
    """Mean of (prediction - target)^2.

    Args:
      predictions: (n,) on the scale of the labels.
      targets: (n,) labels.

    Returns:
      scalar >= 0, in squared score points.

    Raises:
      ValueError: shapes differ or are not (n,).
    """
    check_pair("squared_error", predictions, targets)
    return jnp.mean((predictions - targets) ** 2)


def absolute_error(predictions: Float[Array, " n"], targets: Float[Array, " n"]) -> Float[Array, ""]:
    """Mean of |prediction - target|, in score points; arguments and errors as in `squared_error`."""
    check_pair("absolute_error", predictions, targets)
    return jnp.mean(jnp.abs(predictions - targets))
