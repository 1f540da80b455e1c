"""Initialisers that several models share: the default of torch's layers, which every source inherits, and Kaiming's.
Sources: torch.nn.Linear and torch.nn.Conv2d (docs/sources.md 1.3); arXiv 1502.01852."""

import math
from collections.abc import Callable

import jax
from jax.typing import DTypeLike
from jaxtyping import Array

kaiming_fan_in = jax.nn.initializers.variance_scaling(2.0, "fan_in", "normal")
"""Normal with variance 2 / fan_in, for ReLU networks (arXiv 1502.01852, forward case)."""


def kaiming_fan_out(key: Array, shape: tuple[int, ...], dtype: DTypeLike = "float32") -> Array:
    """Normal with variance 2 / fan_out, for ReLU networks (arXiv 1502.01852, backward case).

    fan_out is kh kw out of a kernel (kh, kw, in, out), out of (in, out), and kh kw of a depthwise (kh, kw, c), whose
    channels have one output each.
    """
    fan_out = {2: shape[-1], 3: math.prod(shape[:2]), 4: math.prod(shape[:2]) * shape[-1]}[len(shape)]
    return jax.random.normal(key, shape, dtype) * (2.0 / fan_out) ** 0.5


def fan_in_uniform(fan_in: int) -> Callable[..., Array]:
    """Initialiser drawing from U(-1/sqrt(fan_in), 1/sqrt(fan_in)) for any shape: torch's, of weights and biases."""
    bound = 1 / math.sqrt(fan_in)

    def init(key: Array, shape: tuple[int, ...], dtype: DTypeLike = "float32") -> Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init
