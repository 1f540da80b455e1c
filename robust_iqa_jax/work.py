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

HEAVY = ("dot_general", "conv_general_dilated", "fft")
"""Primitives of products, convolutions and transforms."""


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


@dataclass(frozen=True, eq=False)
class Operation:
    """One equation of a program, as often as a call runs it.

    Attributes:
      equation: of the jaxpr.
      times: runs in one call.
      work: of one run.
    """

    equation: Any
    times: int
    work: Work

    @property
    def heavy(self) -> bool:
        """A product, convolution or transform."""
        return self.equation.primitive.name in HEAVY

    def __call__(self, *operands: Array) -> Any:
        """Run it once, on operands of its own shapes and types."""
        return self.equation.primitive.bind(*operands, **self.equation.params)


def work_of(function: Callable[..., Any], *arguments: Any) -> Work:
    """Work of function(*arguments) on the platform at hand, without what no result depends on (compilers drop it).

    Loops of unknown length count once; of branches the heaviest counts.
    """
    return _total(operations_of(function, *arguments))


def operations_of(function: Callable[..., Any], *arguments: Any) -> list[Operation]:
    """What `work_of` counts, equation by equation, in the order of the program."""
    jaxpr = jax.make_jaxpr(function)(*arguments).jaxpr
    return list(_of_jaxpr(partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))[0], 1))


def _total(operations: list[Operation]) -> Work:
    return sum((operation.work * operation.times for operation in operations), Work())


def _of_jaxpr(jaxpr: Any, times: int) -> Iterator[Operation]:
    for equation in jaxpr.eqns:
        yield from _of_equation(equation, times)


def _of_equation(equation: Any, times: int) -> Iterator[Operation]:
    name, inner = equation.primitive.name, list(_inner(equation.params))
    if name == "cond":
        yield from _of_branches(inner, equation.params.get("branches_platforms"), times)
    elif inner:
        for jaxpr in inner:
            yield from _of_jaxpr(jaxpr, times * equation.params.get("length", 1))
    elif name in PRODUCTS:
        avals = [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in equation.invars]
        yield from _of_jaxpr(jax.make_jaxpr(partial(PRODUCTS[name], **equation.params))(*avals).jaxpr, times)
    elif name != "platform_index":
        yield Operation(equation, times, _of_one(equation))


def _of_branches(branches: list[Any], platforms: Any, times: int) -> list[Operation]:
    if platforms:
        here = (p is None or jax.default_backend() in p for p in platforms)
        branches = [next(branch for branch, mine in zip(branches, here, strict=True) if mine)]
    return max((list(_of_jaxpr(branch, times)) for branch in branches), key=lambda some: _total(some).flops)


def _of_one(equation: Any) -> Work:
    name = equation.primitive.name
    made = sum(math.prod(out.aval.shape) for out in equation.outvars)
    if name not in HEAVY:
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
