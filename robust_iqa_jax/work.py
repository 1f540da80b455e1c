"""How much arithmetic and memory traffic a jitted function asks for, read off its jaxpr.
XLA's own cost analysis counts the body of a loop once; here a loop counts as often as it runs."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.interpreters import partial_eval
from jaxtyping import Array

PRODUCTS: dict[str, Callable[..., Array]] = {}
"""Name of each primitive of this library -> the function that it computes; functional.bilinear enters what it makes."""


@dataclass(frozen=True)
class Work:
    """Of one call.

    Attributes:
      flops: real additions and multiplications of products, convolutions and transforms (5 n log2 n for a complex
        transform of n, half of it for a real one), and one for every element that another operation makes.
      bytes: operands and results of products, convolutions and transforms, each once; element-wise operations are
        taken to be fused into them.
    """

    flops: float = 0
    bytes: float = 0

    def __add__(self, other: "Work") -> "Work":
        return Work(self.flops + other.flops, self.bytes + other.bytes)

    def __mul__(self, times: int) -> "Work":
        return Work(self.flops * times, self.bytes * times)


def work_of(function: Callable[..., Any], *arguments: Any) -> Work:
    """Work of function(*arguments) on the platform at hand, without what no result depends on (compilers drop it).

    Loops of unknown length count once; of branches the heaviest counts.
    """
    jaxpr = jax.make_jaxpr(function)(*arguments).jaxpr
    return _of_jaxpr(partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))[0])


def _of_jaxpr(jaxpr: Any) -> Work:
    return sum((_of_equation(equation) for equation in jaxpr.eqns), Work())


def _of_equation(equation: Any) -> Work:
    name, inner = equation.primitive.name, list(_inner(equation.params))
    if name == "cond":
        if platforms := equation.params.get("branches_platforms"):
            here = (p is None or jax.default_backend() in p for p in platforms)
            return _of_jaxpr(next(branch for branch, mine in zip(inner, here, strict=True) if mine))
        return max((_of_jaxpr(branch) for branch in inner), key=lambda work: work.flops)
    if inner:
        return sum((_of_jaxpr(jaxpr) for jaxpr in inner), Work()) * equation.params.get("length", 1)
    if name in PRODUCTS:
        avals = [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in equation.invars]
        return _of_jaxpr(jax.make_jaxpr(partial(PRODUCTS[name], **equation.params))(*avals).jaxpr)
    made = sum(math.prod(out.aval.shape) for out in equation.outvars)
    if name == "platform_index":
        return Work()
    if name not in ("dot_general", "conv_general_dilated", "fft"):
        return Work(flops=made)
    avals = [variable.aval for variable in (*equation.invars, *equation.outvars)]
    traffic = sum(math.prod(aval.shape) * aval.dtype.itemsize for aval in avals)
    if name == "fft":
        points = math.prod(equation.params["fft_lengths"])
        signals = max(math.prod(aval.shape) for aval in avals) / points
        real = any(not np.issubdtype(aval.dtype, np.complexfloating) for aval in avals)
        return Work(5 * points * math.log2(max(2, points)) * signals * (0.5 if real else 1), traffic)
    left, right = avals[:2]
    per_term = 8 if np.issubdtype(avals[-1].dtype, np.complexfloating) else 2
    if name == "dot_general":
        contracted = math.prod(left.shape[axis] for axis in equation.params["dimension_numbers"][0][0])
    else:
        spec = equation.params["dimension_numbers"].rhs_spec
        contracted = math.prod(right.shape[axis] for axis in spec[1:])
    return Work(per_term * contracted * made, traffic)


def _inner(params: dict[str, Any]) -> Iterator[Any]:
    for value in params.values():
        for part in value if isinstance(value, tuple | list) else (value,):
            if hasattr(part, "eqns"):
                yield part
            elif hasattr(part, "jaxpr") and hasattr(part.jaxpr, "eqns"):
                yield part.jaxpr
