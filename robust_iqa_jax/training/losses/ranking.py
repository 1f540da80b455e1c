"""Pairwise ranking: a hinge on every pair whose order the labels give.
Source: Liu, van de Weijer & Bagdanov 2017 (arXiv 1707.08347, RankIQA), over all pairs of a batch."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.training.losses.arguments import check_pair


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
