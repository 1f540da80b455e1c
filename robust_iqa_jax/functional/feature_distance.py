"""Distance between images in the feature maps of a network, after LPIPS without its learned weights.
Source: Zhang, Isola, Efros, Shechtman, Wang 2018 (arXiv 1801.03924), equation 1 with w = 1."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float

from robust_iqa_jax.pytrees import as_pytree

Features = Callable[[Float[Array, "n h w c"]], Mapping[str, Array] | Iterable[Array]]
Distance = Callable[[Float[Array, "n h w c"], Float[Array, "n h w c"]], Float[Array, " n"]]

_SMALLEST = 1e-10


def feature_distance(features: Features) -> Distance:
    """A distance (x, y) -> (n,) >= 0, zero for equal images, differentiable.

    Each map is scaled to unit length over its channels; the squared differences are summed over channels and averaged
    over positions, then over maps.

    Args:
      features: images in [0,1] -> maps (n, h, w, c), as a mapping or a sequence, such as a backbone with the
        normalisation of its input and weights. As a pytree, such as jax.tree_util.Partial(apply, weights), its arrays
        stay arguments of compiled programs; those of a plain function become constants in them.

    Raises:
      ValueError: on use, features that are not maps (n, h, w, c).
    """
    return Partial(_distance, as_pytree(features))


def _distance(features: Features, x: Array, y: Array) -> Array:
    both = features(jnp.concatenate([x, y]))
    maps: list[Any] = list(both.values() if isinstance(both, Mapping) else both)
    shapes = [jnp.shape(found) for found in maps]
    if not maps or any(len(shape) != 4 or shape[0] != 2 * len(x) for shape in shapes):
        raise ValueError(f"feature_distance: maps (n, h, w, c) of {2 * len(x)} images expected, got {shapes}")
    return jnp.stack([_map_distance(*jnp.split(found, 2)) for found in maps]).mean(0)


def _map_distance(x: Array, y: Array) -> Array:
    return ((_unit(x) - _unit(y)) ** 2).sum(-1).mean((1, 2))


def _unit(x: Array) -> Array:
    # Under the root: a position without any activation has a finite gradient.
    return x / jnp.sqrt((x**2).sum(-1, keepdims=True) + _SMALLEST)
