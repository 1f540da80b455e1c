"""Products of two arrays whose gradients have faster forms than the transposes that JAX derives, in every mode of
differentiation: jax.custom_vjp would leave forward mode (jvp, linearize, jacfwd) out."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array

from robust_iqa_jax.work import PRODUCTS


def bilinear(
    function: Callable[..., Array],
    left_cotangent: Callable[..., Array],
    right_cotangent: Callable[..., Array],
    rows: bool,
) -> Callable[..., Array]:
    """function(x, y, **static), linear in x and in y, differentiable to any order in both modes.

    Args:
      function: what is computed; its name becomes the operation's.
      left_cotangent: (cotangent of the result, something with x's shape and dtype, y, **static) -> cotangent of x.
      right_cotangent: (cotangent of the result, x, something with y's shape and dtype, **static) -> cotangent of y.
      rows: the first axis of x and of the result is a batch, which jax.vmap over x alone makes longer.

    Returns:
      the function, taking arrays of one dtype.
    """
    primitive = Primitive(function.__name__)
    PRODUCTS[function.__name__] = function

    @primitive.def_impl
    def compute(x: Array, y: Array, **static: Any) -> Array:
        return _compiled(function, tuple(sorted(static.items())))(x, y)

    @primitive.def_abstract_eval
    def shape(x: Any, y: Any, **static: Any) -> Any:
        made = jax.eval_shape(partial(function, **static), *(jax.ShapeDtypeStruct(a.shape, a.dtype) for a in (x, y)))
        return x.update(shape=made.shape, dtype=made.dtype, weak_type=False)

    mlir.register_lowering(primitive, mlir.lower_fun(function, multiple_results=False))
    ad.defbilinear(
        primitive,
        lambda cotangent, x, y, **static: left_cotangent(cotangent, x.aval, y, **static),
        lambda cotangent, x, y, **static: right_cotangent(cotangent, x, y.aval, **static),
    )

    def batch(arrays: Any, axes: Any, **static: Any) -> tuple[Array, int]:
        (x, y), (at, other) = arrays, axes
        if rows and other is None:
            x = jnp.moveaxis(x, at, 0)
            made = primitive.bind(x.reshape(-1, *x.shape[2:]), y, **static)
            return made.reshape(*x.shape[:2], *made.shape[1:]), 0
        return jax.vmap(partial(function, **static), axes)(x, y), 0

    batching.primitive_batchers[primitive] = batch
    return primitive.bind


_programs: dict[Any, Callable[..., Array]] = {}


def _compiled(function: Callable[..., Array], static: tuple[tuple[str, Any], ...]) -> Callable[..., Array]:
    """One jitted function for each combination of settings, kept: outside of jit an operation is compiled once."""
    if (function, static) not in _programs:
        _programs[function, static] = jax.jit(partial(function, **dict(static)))
    return _programs[function, static]
