"""Structured pruning: zero the output filters with the smallest l2 norm in every convolution, masks kept in training.
Source: arXiv 2506.04951, "l2 0.1" ("ln" in its code); a masked Cayley kernel still gives an orthogonal map."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from flax import traverse_util
from jaxtyping import Array

Masks = dict[str, Array]
"""'/'-joined parameter path -> 0/1 array that broadcasts over the parameter's last (output-filter) axis."""

POINTWISE = "conv"
"""Name of the layers whose 2-d kernels are 1x1 convolutions."""


def l2_filter_masks(params: Mapping[str, Any], amount: float) -> Masks:
    """Masks that drop, in each convolution kernel, the `amount` share of output filters with the smallest l2 norm.

    Args:
      params: nested parameters; leaves named `kernel` of more than two axes belong to convolutions, output filters
        last, and so do those of two axes in layers named `conv`; linear layers are never pruned.
      amount: share in [0, 1); the count is rounded to nearest, as torch's `ln_structured` does.

    Returns:
      one (filters,) float32 mask a kernel.

    Raises:
      ValueError: amount outside [0, 1).
    """
    if not 0 <= amount < 1:
        raise ValueError(f"pruning: amount must lie in [0, 1), got {amount}")
    masks = {}
    flat: dict[str, Any] = traverse_util.flatten_dict(dict(params), sep="/")
    for path, leaf in flat.items():
        *_, layer, name = ("", *path.split("/"))
        if name != "kernel" or (leaf.ndim == 2 and layer != POINTWISE):
            continue
        norms = jnp.sqrt(jnp.sum(leaf**2, axis=tuple(range(leaf.ndim - 1))))
        dropped = jnp.argsort(norms)[: round(amount * norms.shape[0])]
        masks[path] = jnp.ones_like(norms).at[dropped].set(0)
    return masks


def apply_masks(params: Mapping[str, Any], masks: Masks) -> dict[str, Any]:
    """Parameters with the masked filters at zero; gradients through it are masked alike."""
    if not masks:
        return dict(params)
    flat: dict[str, Any] = traverse_util.flatten_dict(dict(params), sep="/")
    return traverse_util.unflatten_dict(
        {p: leaf * masks[p] if p in masks else leaf for p, leaf in flat.items()}, sep="/"
    )


def pruned_share(masks: Masks) -> float:
    """Share of filters that the masks drop."""
    return 1 - sum(float(m.sum()) for m in masks.values()) / sum(m.shape[0] for m in masks.values())
