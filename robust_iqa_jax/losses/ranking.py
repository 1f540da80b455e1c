"""Losses of the order of a batch's scores: a hinge on every pair, and LinearityIQA's monotonicity term.
Sources: Liu, van de Weijer & Bagdanov 2017 (arXiv 1707.08347, RankIQA); Li, Jiang & Jiang 2020 (arXiv 2008.03889)."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.losses.regression import check_pair


def pairwise_ranking(
    predictions: Float[Array, " n"], targets: Float[Array, " n"], margin: float = 1.0
) -> Float[Array, ""]:
    """Mean over the pairs (i, j) with y_i > y_j of max(0, margin - (p_i - p_j)).

    It looks at the labels' order only, and fixes the scale of the scores by the margin, not their offset.

    Args:
      predictions: (n,) any scale.
      targets: (n,) labels y; pairs of equal ones do not count.
      margin: difference of scores from which a pair is well ordered, in units of the predictions.

    Returns:
      scalar >= 0; 0 where no pair has an order.

    Raises:
      ValueError: shapes differ or are not (n,).
    """
    check_pair("pairwise_ranking", predictions, targets)
    better = (targets[:, None] > targets).astype(predictions.dtype)
    hinges = jnp.maximum(margin - (predictions[:, None] - predictions), 0)
    return jnp.sum(better * hinges) / jnp.maximum(better.sum(), 1)


def monotonicity(predictions: Float[Array, " n"], targets: Float[Array, " n"]) -> Float[Array, ""]:
    """sum_ij r_ij / (n (n - 1) (1 + max_ij r_ij)), with r_ij = max(0, (p_i - p_j) sign(y_j - y_i)).

    The amount by which a batch is out of order, as a share of its worst pair. A pair in the wrong order counts with the
    difference of its scores, and twice (as ij and ji), as in LinearityIQA's IQAloss.py (there with weight 0.1, off).

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
