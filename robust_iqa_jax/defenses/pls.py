"""Pruning by partial least squares: filters whose activations say least about the opinion scores.
Sources: arXiv 1810.07610 (PLS + VIP); A-Lin models_train/projection.py for DiscPLS (docs/sources.md 3.3)."""

import numpy as np
from jaxtyping import Float

from robust_iqa_jax.defenses.activations import Activations
from robust_iqa_jax.defenses.masks import Masks, lowest_of_all

COMPONENTS = 2


def vip(
    x: Float[np.ndarray, "n p"], y: Float[np.ndarray, " n"], components: int = COMPONENTS
) -> Float[np.ndarray, "p"]:
    """Variable importance in projection, of every column of x for y; its mean square over the columns is 1.

    VIP_j = sqrt(p sum_h s_h w_jh^2 / sum_h s_h) with s_h = q_h^2 t_h't_h, of the weights w_h (unit length), scores t_h
    and loadings q_h of partial least squares by NIPALS on standardised columns (for one y it needs no iterations).

    Args:
      x: one row a photo; constant columns have importance 0.
      y: targets, not all equal.
      components: latent variables; fewer are taken where fewer explain y.
    """
    x = x - x.mean(0, dtype=np.float64)
    deviation = x.std(0, ddof=1)
    x /= np.where(deviation == 0, 1, deviation)
    y = (y - y.mean()) / y.std(ddof=1)
    importance, total = np.zeros(x.shape[1]), 0.0
    for _ in range(components):
        weights = x.T @ y
        length = np.linalg.norm(weights)
        if length <= 1e-10 * len(y):  # nothing of y is left
            break
        weights /= length
        t = x @ weights
        q = y @ t / (t @ t)
        explained = q**2 * (t @ t)
        importance += explained * weights**2
        total += explained
        x -= np.outer(t, x.T @ t / (t @ t))
        y = y - q * t
    return np.sqrt(x.shape[1] * importance / max(total, np.finfo(float).tiny))


def filter_importance(activations: Activations) -> dict[str, Float[np.ndarray, " f"]]:
    """Mean VIP of each filter over the cells of its map, all layers' cells being the columns of one x.

    The authors' code takes the i-th column for the i-th filter, whatever the size of the map.
    """
    shapes = {path: own.shape[1:] for path, own in activations.maps.items()}
    columns = np.concatenate([own.reshape(len(own), -1) for own in activations.maps.values()], axis=1)
    parts = np.split(vip(columns, activations.scores), np.cumsum([cells * f for cells, f in shapes.values()])[:-1])
    return {path: part.reshape(shape).mean(0) for (path, shape), part in zip(shapes.items(), parts, strict=True)}


def pls_masks(activations: Activations, amount: float) -> Masks:
    """Masks that drop the `amount` share of filters with the smallest importance, over all layers.

    A layer that would lose all of its filters keeps them.

    Args:
      activations: of the network to be pruned.
      amount: share in [0, 1).

    Returns:
      one (filters,) mask a layer.
    """
    return _spare_whole_layers(lowest_of_all(filter_importance(activations), amount))


def displs_masks(activations: Activations, amount: float) -> Masks:
    """As `pls_masks`, but layers that discriminate better than the layer behind them are protected.

    The discriminability of a layer is mean / deviation of its filters' importance. Layers are visited from the last one
    back; one whose value is not smaller than that of the layer visited before it loses no filter. The authors' code
    sets the scores of such a layer to 1, which protects it only while 1 lies above the threshold.

    Args:
      activations: of the network to be pruned.
      amount: share in [0, 1) of all filters, protected ones included.

    Returns:
      one (filters,) mask a layer.
    """
    importance = filter_importance(activations)
    return _spare_whole_layers(lowest_of_all(protected(importance), amount))


def protected(importance: dict[str, Float[np.ndarray, " f"]]) -> dict[str, Float[np.ndarray, " f"]]:
    """Importance with infinity in the layers that `displs_masks` protects; layers in the order of the network."""
    scores, behind = {}, np.inf
    for path, own in reversed(importance.items()):
        value = own.mean() / max(own.std(), np.finfo(float).tiny)
        scores[path] = np.full_like(own, np.inf) if value >= behind else own
        behind = value
    return {path: scores[path] for path in importance}


def _spare_whole_layers(masks: Masks) -> Masks:
    return {path: mask if mask.any() else mask + 1 for path, mask in masks.items()}
