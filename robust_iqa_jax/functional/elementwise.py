"""What layers do value by value: integers read as float32, a value a channel spread over maps, the end of a residual
block. Spread explicitly, so that jax_numpy_rank_promotion="raise" finds nothing to complain of."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def as_float(x: Any) -> Float[Array, "..."]:
    """Integers and booleans as float32; floats as they are."""
    x = jnp.asarray(x)
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.float32)


def over(values: Any, x: Array | np.ndarray) -> Array:
    """Values of the last axes, such as one a channel, with axes of one in front up to the rank of x."""
    values = jnp.asarray(values)
    return values.reshape((1,) * (x.ndim - values.ndim) + values.shape)


def relu_sum(x: Float[Array, "*n c"], y: Float[Array, "*n c"]) -> Float[Array, "*n c"]:
    """relu(x + y), the end of a residual block (arXiv 1512.03385, figure 2); of NaN it is NaN.

    A maximum XLA would fuse into each of its readers on CPU, so that every block's backward pass sums up all the blocks
    before it once more (measured: a sixth of the time of ResNet-101's gradient).
    """
    total = x + y
    return jnp.where(total <= 0, 0, total)
