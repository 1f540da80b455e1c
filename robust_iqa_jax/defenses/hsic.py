"""Pruning by the HSIC bottleneck: filters that carry much of the image and little of the opinion score.
Sources: arXiv 2210.04311 (PwoA), arXiv 1908.01580 (normalised HSIC); docs/sources.md 3.3 (the terms' weights)."""

import numpy as np
from jaxtyping import Float

from robust_iqa_jax.defenses.activations import Activations
from robust_iqa_jax.defenses.masks import Masks, lowest_in_each

SIGMA = 5.0
RIDGE = 1e-5
RELEVANCE = 4.0
"""Weight of what a filter says about the score against what it says about the image."""
CHUNK = 256
"""Filters whose kernel matrices are inverted at a time."""


def normalised_kernel(x: Float[np.ndarray, "*b n d"], sigma: float = SIGMA) -> Float[np.ndarray, "*b n n"]:
    """K (K + n 1e-5 I)^-1 of the centred Gaussian kernel matrix K of n samples, in [0, 1] as an operator.

    k(x, x') = exp(-|x - x'|^2 / (2 sigma^2 d)), centred on both sides; the public code centres one side only.
    """
    n, d = x.shape[-2:]
    square = np.sum(x**2, -1)
    distance = square[..., :, None] + square[..., None, :] - 2 * x @ np.swapaxes(x, -1, -2)
    k = np.exp(-np.maximum(distance, 0) / (2 * sigma**2 * d))
    k = k - k.mean(-1, keepdims=True)
    k = k - k.mean(-2, keepdims=True)
    ridge = RIDGE * n * np.eye(n)
    return np.eye(n) - RIDGE * n * np.linalg.inv(k + ridge)


def hsic_scores(activations: Activations) -> dict[str, Float[np.ndarray, " f"]]:
    """4 HSIC(h, y) - HSIC(h, x) of each filter: h its mean output, y the opinion score, x the photo's thumbnail.

    HSIC(a, b) = trace(R_a R_b) with `normalised_kernel` R of standardised samples; a constant filter has 0.
    """
    y, x = (normalised_kernel(_standardised(z)) for z in (activations.scores[:, None], activations.thumbnails))
    target = RELEVANCE * y - x

    def of_layer(means: Float[np.ndarray, "n f"]) -> Float[np.ndarray, " f"]:
        columns = _standardised(means).T[..., None]
        chunks = [columns[i : i + CHUNK] for i in range(0, len(columns), CHUNK)]
        return np.concatenate([np.einsum("fij,ij->f", normalised_kernel(chunk), target) for chunk in chunks])

    return {path: of_layer(own.mean(1)) for path, own in activations.maps.items()}


def hsic_masks(activations: Activations, amount: float) -> Masks:
    """Masks that drop, in each layer, the `amount` share of filters with the lowest `hsic_scores`.

    A criterion, not the recipe: PwoA trains the weights with these two terms over whole layers, distillation and ADMM,
    and takes the filters with the smallest l2 norm from the result. Here the two terms rank the filters of the trained
    network one by one, so that the method is a mask like the others and the fine-tuning is the run's own. What the
    authors' code has of the recipe takes no optimiser step and masks a copy: there is no published result to reproduce.

    Args:
      activations: of the network to be pruned.
      amount: share in [0, 1); the count is rounded to nearest.

    Returns:
      one (filters,) mask a layer.
    """
    return lowest_in_each(hsic_scores(activations), amount)


def _standardised(x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    x = x - x.mean(0, dtype=np.float64)
    deviation = x.std(0)
    return x / np.where(deviation == 0, 1, deviation)
