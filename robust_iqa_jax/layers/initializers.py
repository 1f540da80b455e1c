"""Initialisers that several models share: the default of torch's layers, which every source inherits, and Kaiming's.
Sources: torch.nn.Linear and torch.nn.Conv2d (docs/sources.md 1.3); arXiv 1502.01852."""

import math
from collections.abc import Callable

import jax
from jaxtyping import Array

kaiming_fan_in = jax.nn.initializers.variance_scaling(2.0, "fan_in", "normal")
"""Normal with variance 2 / fan_in, for ReLU networks (arXiv 1502.01852, forward case)."""


def fan_in_uniform(fan_in: int) -> Callable[..., Array]:
    """Initialiser drawing from U(-1/sqrt(fan_in), 1/sqrt(fan_in)) for any shape: torch's, of weights and biases."""
    bound = 1 / math.sqrt(fan_in)

    def init(key: Array, shape: tuple[int, ...], dtype: jax.typing.DTypeLike = "float32") -> Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init
