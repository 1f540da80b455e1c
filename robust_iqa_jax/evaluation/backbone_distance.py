"""LPIPS-like distance in the maps of a backbone with ImageNet weights, EfficientNet-Lite0's where nothing is named.
Zhang et al. 2018 (arXiv 1801.03924), equation 1 with w = 1: without LPIPS' learned weights, and of another network."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, cast

import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float

from robust_iqa_jax.functional.feature_distance import Distance, Features, feature_distance
from robust_iqa_jax.models.backbone_table import backbone

TAPS = ("stage1", "stage2", "stage3", "stage5", "stage7")
"""Last map of every resolution of an EfficientNet-Lite: five maps, as many as LPIPS reads of its networks."""


def backbone_features(name: str = "efficientnet_lite0", taps: Sequence[str] = TAPS) -> Features:
    """Images in [0,1] (n, h, w, 3) -> maps by name, normalised as the weights expect; the weights are traced.

    Raises:
      ValueError: unknown backbone or map, no packaged weights.
    """
    entry = backbone(name)
    if unknown := [tap for tap in taps if tap not in entry.taps]:
        raise ValueError(f"backbone_features: {name} has no maps {unknown}; choose among {', '.join(entry.taps)}")
    return Partial(partial(_maps, name, tuple(taps)), entry.pretrained())


def backbone_distance(name: str = "efficientnet_lite0", taps: Sequence[str] = TAPS) -> Distance:
    """(x, y) -> (n,) distances >= 0 of images in [0,1]; see functional.feature_distance.

    Values are comparable among themselves only, not with published LPIPS.

    Raises:
      ValueError: as `backbone_features`.
    """
    return feature_distance(backbone_features(name, taps))


def _maps(
    name: str, taps: tuple[str, ...], variables: Mapping[str, Any], images: Float[Array, "n h w 3"]
) -> dict[str, Array]:
    entry = backbone(name)
    mean, std = (jnp.asarray(values, images.dtype) for values in (entry.mean, entry.std))
    maps = cast(dict[str, Array], entry.build(None).apply(variables, (images - mean) / std, train=False))
    return {tap: maps[tap] for tap in taps}
