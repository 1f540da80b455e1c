"""GroupSort: channels of a group in order, an activation that keeps lengths and the length of every gradient.
Anil, Lucas, Grosse 2019, "Sorting Out Lipschitz Function Approximation" (arXiv 1811.05381)."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def max_min(x: Float[Array, "*n c"]) -> Float[Array, "*n c"]:
    """Groups of two, GroupSort2: of channels 2 i and 2 i + 1 the larger first. A permutation at every point, so
    1-Lipschitz in every norm.

    Raises:
      ValueError: an odd number of channels.
    """
    if x.shape[-1] % 2:
        raise ValueError(f"max_min: an even number of channels expected, got {x.shape[-1]}")
    pairs = x.reshape(*x.shape[:-1], -1, 2)
    return jnp.stack([pairs.max(-1), pairs.min(-1)], -1).reshape(x.shape)
