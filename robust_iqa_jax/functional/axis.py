"""A batch that is spread over devices along a mapped axis, seen from one of them; one device where the axis is None.
The axis is that of jax.pmap or jax.shard_map (training.parallel)."""

from typing import Any

import jax
from jaxtyping import Array


def gathered(x: Array, axis_name: str | None) -> Array:
    """The rows of all devices in the batch's order."""
    return x if axis_name is None else jax.lax.all_gather(x, axis_name, tiled=True)


def averaged(tree: Any, axis_name: str | None) -> Any:
    """Mean over devices, leaf by leaf."""
    return tree if axis_name is None else jax.lax.pmean(tree, axis_name)


def first_row(count: int, axis_name: str | None) -> Array | int:
    """Place in the whole batch of this device's first row, where each device has `count` of them."""
    return 0 if axis_name is None else jax.lax.axis_index(axis_name) * count
