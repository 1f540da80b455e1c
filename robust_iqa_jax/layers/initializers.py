"""The default initialiser of torch's convolution and linear layers, which every source of this field inherits.
U(-1/sqrt(fan_in), 1/sqrt(fan_in)) for weights and biases alike (REFERENCE 1.3)."""

import math
from collections.abc import Callable

import jax
from jaxtyping import Array


def fan_in_uniform(fan_in: int) -> Callable[..., Array]:
    """Initialiser drawing from U(-1/sqrt(fan_in), 1/sqrt(fan_in)) for any shape."""
    bound = 1 / math.sqrt(fan_in)

    def init(key: Array, shape: tuple[int, ...], dtype: jax.typing.DTypeLike = "float32") -> Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init
