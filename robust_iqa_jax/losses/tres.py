"""Losses of TReS: absolute error, self-consistency under a horizontal flip, relative ranking of the extremes.
Sources: arXiv 2108.06858, isalirezag/TReS models.py."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

RANKING_AGREEMENT = 0.5
"""Weight of the difference between the two views' rankings."""
RANKING_WEIGHT = 0.05
"""Weight of each view's ranking."""
_DISTANCE_EPSILON = 1e-6


def self_consistency(
    encoded: Float[Array, "n h w d"],
    flipped_encoded: Float[Array, "n h w d"],
    layer4: Float[Array, "n h w c"],
    flipped_layer4: Float[Array, "n h w c"],
) -> Float[Array, ""]:
    """mean |encoded - sg(flipped_encoded)| + mean |layer4 - sg(flipped_layer4)|, sg: no gradient flows.

    The flipped view's maps are compared where they lie, not flipped back (as published).

    Args:
      encoded, flipped_encoded: (n, h, w, d) encoder outputs of the images and of their horizontal flips.
      layer4, flipped_layer4: (n, h, w, c) last maps of the backbone, alike.

    Returns:
      scalar, >= 0.
    """
    pairs = ((encoded, flipped_encoded), (layer4, flipped_layer4))
    return jnp.asarray(sum(jnp.abs(view - lax.stop_gradient(other)).mean() for view, other in pairs))


def relative_ranking(scores: Float[Array, " n"], mos: Float[Array, " n"]) -> Float[Array, ""]:
    """Two triplets of the extremes of a batch, with margins from its labels.

    With the images ordered by label, p_1 <= ... <= p_n their scores and y their labels, d(a, b) = |a - b + 1e-6|:

    T = max(0, d(p_1, p_2) - d(p_1, p_n) + y_n - y_2) + max(0, d(p_n, p_n-1) - d(p_n, p_1) + y_n-1 - y_1).

    Args:
      scores: (n,) predictions on the scale of the labels.
      mos: (n,) labels; among equal ones the batch's order decides.

    Returns:
      scalar, >= 0.

    Raises:
      ValueError: fewer than two images.
    """
    if scores.shape[0] < 2:
        raise ValueError(f"relative_ranking: a ranking needs two images or more, got {scores.shape[0]}")
    order = jnp.argsort(mos)
    p, y = scores[order], mos[order]
    lowest = _triplet(p[0], p[1], p[-1], y[-1] - y[1])
    highest = _triplet(p[-1], p[-2], p[0], y[-2] - y[0])
    return lowest + highest


def _triplet(anchor: Array, positive: Array, negative: Array, margin: Array) -> Array:
    def distance(other: Array) -> Array:
        return jnp.abs(anchor - other + _DISTANCE_EPSILON)

    return jnp.maximum(distance(positive) - distance(negative) + margin, 0)


def tres_loss(
    scores: Float[Array, " n"],
    flipped_scores: Float[Array, " n"],
    consistency: Float[Array, ""],
    flipped_consistency: Float[Array, ""],
    mos: Float[Array, " n"],
) -> Float[Array, ""]:
    """Total loss of a batch; p, C, T of the images, p', C', T' of their horizontal flips, sg: no gradient flows:

    mean |p - y| + C + mean |p' - y| + C' + 0.5 (|T - sg(T')| + |T' - sg(T)|) + 0.05 (T + T').

    The published recipe runs the model twice and each run sees both views: with `view, other` of TReS.both_views on
    the images, p = view.score and C = self_consistency of `view` against `other`; p' and C' come alike from a second
    run that starts from the flipped images.

    Args:
      scores, flipped_scores: (n,) p and p'.
      consistency, flipped_consistency: scalars C and C', see `self_consistency`.
      mos: (n,) labels y.

    Returns:
      scalar, >= 0.

    Raises:
      ValueError: fewer than two images.
    """
    ranking, flipped_ranking = relative_ranking(scores, mos), relative_ranking(flipped_scores, mos)
    errors = jnp.abs(scores - mos).mean() + jnp.abs(flipped_scores - mos).mean()
    agreement = jnp.abs(ranking - lax.stop_gradient(flipped_ranking))
    agreement += jnp.abs(flipped_ranking - lax.stop_gradient(ranking))
    rankings = RANKING_AGREEMENT * agreement + RANKING_WEIGHT * (ranking + flipped_ranking)
    return errors + consistency + flipped_consistency + rankings
