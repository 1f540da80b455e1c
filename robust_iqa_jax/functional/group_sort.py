"""GroupSort: channels sorted within groups, the activation of gradient norm 1 that orthogonal layers go with.
Source: Anil, Lucas & Grosse 2019 (arXiv 1811.05381); groups of two are MaxMin."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def group_sort(x: Float[Array, "*n c"], group_size: int = 2) -> Float[Array, "*n c"]:
    """Each group of neighbouring channels in ascending order: keeps norms, and distances never grow.

    Args:
      x: (..., c).
      group_size: channels of a group; has to divide c.

    Returns:
      (..., c).

    Raises:
      ValueError: a group size below 1, or one that does not divide c.
    """
    if group_size < 1 or x.shape[-1] % group_size:
        raise ValueError(
            f"group_sort: groups of {group_size} do not divide {x.shape[-1]} channels; choose a divisor of them"
        )
    groups = x.reshape(*x.shape[:-1], -1, group_size)
    if group_size == 2:  # a CPU sorts twenty times slower than it compares
        low, high = jnp.minimum(groups[..., 0], groups[..., 1]), jnp.maximum(groups[..., 0], groups[..., 1])
        return jnp.stack([low, high], axis=-1).reshape(x.shape)
    return jnp.sort(groups, axis=-1).reshape(x.shape)
