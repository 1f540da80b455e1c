"""Masks over convolution kernels: which kernels there are, which of their entries score lowest, what a mask does.
Source: torch.nn.utils.prune (counts, global and per-layer ranking); docs/sources.md 3.3."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jaxtyping import Array

Masks = dict[str, Array]
"""'/'-joined path of a kernel -> float32 zeros and ones: (filters,), for the kernel's last axis, or the whole shape."""

Scores = Mapping[str, np.ndarray]
"""'/'-joined path of a kernel -> importance of each of its filters (filters,), or of each of its weights."""

POINTWISE = "conv"
"""Name of the layers whose 2-d kernels are 1x1 convolutions."""


def convolution_kernels(params: Mapping[str, Any]) -> dict[str, Any]:
    """Path -> kernel of every convolution, output filters last.

    Leaves named `kernel` of more than two axes belong to convolutions, and so do those of two axes in layers named
    `conv`; linear layers are never pruned.
    """
    flat: dict[str, Any] = traverse_util.flatten_dict(dict(params), sep="/")
    return {
        path: leaf
        for path, leaf in flat.items()
        if path.split("/")[-1] == "kernel" and (leaf.ndim > 2 or path.split("/")[-2:-1] == [POINTWISE])
    }


def lowest_in_each(scores: Scores, amount: float) -> Masks:
    """Masks that drop the `amount` share with the lowest scores of every kernel, the count rounded to nearest."""
    return {path: lowest_of_all({path: own}, amount)[path] for path, own in scores.items()}


def lowest_of_all(scores: Scores, amount: float) -> Masks:
    """Masks that drop the `amount` share with the lowest scores of all kernels together, the count rounded to nearest.

    Infinite scores are never dropped, though they count; of equal scores the first are.
    """
    if not scores:
        return {}
    flat = np.concatenate([np.ravel(own) for own in scores.values()])
    lowest = np.argsort(flat, kind="stable")[: round(amount * flat.size)]
    mask = np.ones(flat.size, np.float32)
    mask[lowest[np.isfinite(flat[lowest])]] = 0
    ends = np.cumsum([np.size(own) for own in scores.values()])[:-1]
    parts = zip(scores.items(), np.split(mask, ends), strict=True)
    return {path: jnp.asarray(part.reshape(np.shape(own))) for (path, own), part in parts}


def apply_masks(params: Mapping[str, Any], masks: Masks) -> dict[str, Any]:
    """Parameters with what is masked at zero; gradients through it are masked alike."""
    if not masks:
        return dict(params)
    flat: dict[str, Any] = traverse_util.flatten_dict(dict(params), sep="/")
    return traverse_util.unflatten_dict(
        {p: leaf * masks[p] if p in masks else leaf for p, leaf in flat.items()}, sep="/"
    )


def pruned_share(masks: Masks) -> float:
    """Share of filters, or of weights, that the masks drop."""
    return 1 - sum(float(m.sum()) for m in masks.values()) / max(1, sum(m.size for m in masks.values()))
