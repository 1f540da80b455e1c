"""Squared and absolute error of scores, for models that are trained on the scale of the labels.
Sources: arXiv 1910.06180 (KonCept512, squared), SSL92/hyperIQA and arXiv 2108.06858 (absolute)."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def check_pair(loss: str, predictions: Float[Array, " n"], targets: Float[Array, " n"]) -> None:
    """Raise ValueError, in the name of the loss, unless both have the one shape (n,).

    A column (n, 1) against (n,) would broadcast to (n, n) and train on nonsense without a word.
    """
    if predictions.ndim != 1 or predictions.shape != targets.shape:
        raise ValueError(
            f"{loss}: predictions and targets of one shape (n,) expected, got {predictions.shape} and {targets.shape}"
        )


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
