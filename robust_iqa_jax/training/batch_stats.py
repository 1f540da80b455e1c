"""Batch statistics of a backbone measured again: what running averages describe is gone once filters are pruned.
Source: adaptive batch normalisation of Li et al. 2020 (EagleEye, arXiv 2007.02491), section 3.3."""

from collections.abc import Callable
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from robust_iqa_jax.models.crops import central
from robust_iqa_jax.models.registry import normalise
from robust_iqa_jax.models.spec import ModelSpec

PHOTOS = 256
BATCH = 32


def reestimate_batch_stats(
    module: nn.Module, spec: ModelSpec, variables: dict[str, Any], load: Callable[[int], np.ndarray], count: int
) -> dict[str, Any]:
    """Variables whose backbone has, as running averages, the mean batch statistics of up to 256 whole photos.

    Every layer sees the outputs of layers normalised by their own batch, as in training.

    Args:
      module: of the model.
      spec: of the model.
      variables: of the model; only the backbone's batch statistics change.
      load: index -> photo (h, w, 3) in grey levels 0..255.
      count: number of photos.

    Returns:
      new variables; the same where the backbone has no batch normalisation.
    """
    if "backbone" not in variables["batch_stats"]:
        return variables
    key = jax.random.key(0)

    @jax.jit
    def of_batch(images: Array) -> Any:
        x = normalise(spec, central(images.astype(jnp.float32) / 255, spec.crops))

        def updated(start: float) -> Any:
            stats = jax.tree.map(lambda leaf: jnp.full_like(leaf, start), variables["batch_stats"])
            own = {"params": variables["params"], "batch_stats": stats}
            _, new = module.apply(own, x, train=True, mutable=["batch_stats"], rngs={"dropout": key})
            return cast(dict[str, Any], new)["batch_stats"]["backbone"]

        # running averages move as old -> m old + (1 - m) batch: from 0 and from 1 the batch's own follow for any m,
        # and XLA computes the network once for both, since it does not depend on the averages
        return jax.tree.map(_batch_value, updated(0.0), updated(1.0))

    size = min(BATCH, count)
    chosen = np.linspace(0, count - 1, min(PHOTOS, count) // size * size).astype(int).reshape(-1, size)
    batches = [of_batch(np.stack([load(int(i)) for i in index])) for index in chosen]
    mean = jax.tree.map(lambda *leaves: sum(leaves) / len(leaves), *batches)
    return {**variables, "batch_stats": {**variables["batch_stats"], "backbone": mean}}


def _batch_value(from_zero: Array, from_one: Array) -> Array:
    """The statistic itself; the momentum is read where it loses no digits to a large statistic."""
    smallest = jnp.argmin(jnp.abs(from_zero))
    return from_zero / (1 - (from_one[smallest] - from_zero[smallest]))
