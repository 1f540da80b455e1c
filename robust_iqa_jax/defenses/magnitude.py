"""Pruning by magnitude: single weights by absolute value, filters by l2 norm; no photo is looked at.
Sources: arXiv 2506.04951 ("l2 0.1", "ln" in its code); torch.nn.utils.prune (l1_unstructured, ln_structured)."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from robust_iqa_jax.defenses.masks import Masks, convolution_kernels, lowest_in_each, lowest_of_all


def l1_weight_masks(params: Mapping[str, Any], amount: float) -> Masks:
    """Masks that drop the `amount` share of single weights with the smallest absolute value, over all convolutions.

    The unstructured global pruning of the authors' "l1": layers lose different shares.

    Args:
      params: nested parameters of a model.
      amount: share in [0, 1).

    Returns:
      one mask of the kernel's shape a convolution.
    """
    return lowest_of_all({p: np.abs(np.asarray(k)) for p, k in convolution_kernels(params).items()}, amount)


def l2_filter_masks(params: Mapping[str, Any], amount: float) -> Masks:
    """Masks that drop, in each convolution, the `amount` share of output filters with the smallest l2 norm.

    The block's convolutions are among them; a masked Cayley kernel still gives an orthogonal map.

    Args:
      params: nested parameters of a model.
      amount: share in [0, 1); the count is rounded to nearest, as torch's `ln_structured` does.

    Returns:
      one (filters,) mask a convolution.
    """
    norms = {
        path: np.linalg.norm(np.asarray(kernel).reshape(-1, kernel.shape[-1]), axis=0)
        for path, kernel in convolution_kernels(params).items()
    }
    return lowest_in_each(norms, amount)
