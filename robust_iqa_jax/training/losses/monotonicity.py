"""Monotonicity term of LinearityIQA: the amount by which a batch is out of order, as a share of its worst pair.
Source: Li, Jiang & Jiang 2020 (arXiv 2008.03889), lidq92/LinearityIQA IQAloss.py (there with weight 0.1, off)."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.training.losses.arguments import check_pair


def monotonicity(predictions: Float[Array, " n"], targets: Float[Array, " n"]) -> Float[Array, ""]:
    """sum_ij r_ij / (n (n - 1) (1 + max_ij r_ij)), with r_ij = max(0, (p_i - p_j) sign(y_j - y_i)).

    A pair in the wrong order counts with the difference of its scores, and twice (as ij and ji), as in the source.

    Args:
      predictions: (n,) p, any scale.
      targets: (n,) labels y; pairs of equal ones do not count.

    Returns:
      scalar in [0, 1); 0 for predictions in the labels' order, and for one photo.

    Raises:
      ValueError: shapes differ or are not (n,).
    """
    check_pair("monotonicity", predictions, targets)
    n = predictions.shape[0]
    if n == 1:
        return jnp.zeros((), predictions.dtype)
    disorder = jnp.maximum((predictions[:, None] - predictions) * jnp.sign(targets - targets[:, None]), 0)
    return disorder.sum() / (n * (n - 1) * (1 + disorder.max()))
