"""Pooled features of a training set in evaluation mode: what the head is warmed up on and calibrated with.
From photos, or from the cached maps of the frozen part where the run keeps them."""

from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from robust_iqa_jax.layers.linearity_head import LinearityHead
from robust_iqa_jax.models.registry import build, normalise
from robust_iqa_jax.training.config import TrainConfig
from robust_iqa_jax.training.frozen_maps import frozen_map

BATCH = 8

Features = list[Float[np.ndarray, "n f"]]


def pooled_features(
    config: TrainConfig, variables: dict[str, Any], load: Callable[[int], np.ndarray], count: int
) -> Features:
    """Features of each tap for all photos, whole and not mirrored.

    Args:
      config: the run.
      variables: of the model.
      load: index -> photo (h, w, 3) in grey levels 0..255, or a pair of maps (2, h, w, c) with config.cache_frozen.
      count: number of photos.
    """
    module = build(config.model)
    start = frozen_map(config) if config.cache_frozen else None

    @jax.jit
    def features(inputs: Array) -> list[Array]:
        x = inputs.astype(jnp.float32)
        x = normalise(config.model, x / 255) if start is None else x
        return cast(list[Array], module.apply(variables, x, start=start, method="features"))

    batches = []
    for first in range(0, count, BATCH):
        index = np.minimum(np.arange(first, first + BATCH), count - 1)
        inputs = np.stack([load(int(i)) for i in index])
        batches.append([np.asarray(f) for f in features(inputs if start is None else inputs[:, 0])])
    return [np.concatenate(tap)[:count] for tap in zip(*batches, strict=True)]


def outputs_from(variables: dict[str, Any], features: Features) -> Float[np.ndarray, " n"]:
    """Uncalibrated scores (n,) float64 of photos from their features, in evaluation mode."""
    own = {name: variables[name]["head"] for name in ("params", "batch_stats")}
    outputs = cast(Array, LinearityHead().apply(own, [jnp.asarray(f) for f in features], train=False))
    return np.asarray(outputs[:, -1], np.float64)
