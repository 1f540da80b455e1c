"""What bounds a step of the Cayley convolution here? Each of its products, transforms and convolutions on its own.

    riqa bench roofline --case position6 --batch 1 8 --json rows.json

A row "N x operation left · right" is what one such operation takes in a loop that does nothing else, its operands in
the cache, times how often a step runs it. "heavy parts" is their sum: what a step of the same arithmetic would take
with the compiler's own products if everything between them were free. "whole" is the step, by its side.
"""

import string
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jax import Array

from robust_iqa_jax.benchmarks.cases import Case, case_of, maps, parameters
from robust_iqa_jax.benchmarks.machine import ceilings
from robust_iqa_jax.benchmarks.measure import Row, measure, measure_in_turns, relative_error, timed_row
from robust_iqa_jax.benchmarks.rows import Output, publish
from robust_iqa_jax.benchmarks.torch_rows import cotangent
from robust_iqa_jax.functional.cayley import cayley_conv
from robust_iqa_jax.work import Operation, operations_of

LOOPS = (5, 25)
"""Runs of an operation in one call, few and many."""
TOLERANCE = 1e-5
"""Of an operation's result in a loop, relative to its largest entry alone."""


@dataclass(frozen=True)
class Args:
    """Which shapes."""

    case: tuple[str, ...] = ("position6",)
    """Shapes, as for robust_block."""
    batch: tuple[int, ...] = (1,)
    repeats: int = 15
    output: tyro.conf.OmitArgPrefixes[Output] = field(default_factory=Output)


def main(args: Args) -> list[Row]:
    """Measure, print and write the rows; how much of a step its heavy parts explain comes last.

    Raises:
      ValueError: unknown case, or an operation that gives something else in a loop than alone.
    """
    cases, limits = [case_of(name) for name in args.case], ceilings()
    steps = [
        part_rows(case.name, batch, pass_, function, arguments, args.repeats)
        for case in cases
        for batch in args.batch
        for pass_, (function, arguments) in _passes(case, batch).items()
    ]
    rows = [row for step in steps for row in step]
    publish("roofline", "What bounds the Cayley convolution", rows, limits, args.output)
    for *_, heavy, whole in steps:
        at_peak = (whole.flops or 0) / limits.flops
        print(
            f"{whole.case}, batch {whole.batch}, {whole.pass_}: {whole.median_s * 1e3:.1f} ms, its heavy parts alone "
            f"{heavy.median_s * 1e3:.1f}, its arithmetic at the rate of one large product {at_peak * 1e3:.1f}"
        )
    return rows


def part_rows(
    case: str, batch: int, pass_: str, function: Callable[..., Any], arguments: tuple[Any, ...], repeats: int
) -> list[Row]:
    """A row for each kind of heavy operation of a call, the costliest first, then "heavy parts" and "whole"."""
    kinds: dict[str, Operation] = {}
    times: Counter[str] = Counter()
    for operation in operations_of(function, *arguments):
        if operation.heavy:
            kind = _kind(operation)
            kinds.setdefault(kind, operation)
            times[kind] += operation.times
    parts = []
    for kind, operation in kinds.items():
        n = times[kind]
        seconds, spread, compiling = _alone(operation, repeats)
        work = operation.work * n
        label = f"{n} x {_named(operation)}"
        parts.append(Row(case, label, batch, pass_, n * seconds, n * spread, compiling, None, work.flops, work.bytes))
    parts.sort(key=lambda row: -row.median_s)
    whole = timed_row(case, "whole", batch, pass_, measure(function, *arguments, repeats=repeats))
    return [*parts, _sum(parts), whole]


def _alone(operation: Operation, repeats: int) -> tuple[float, float, float]:
    """Seconds of one run inside a loop, their spread, and seconds to compile.

    Two lengths of the loop, whose difference has no part of the call; of operations so short that the difference is
    lost in the noise, the longer loop's mean, which has. The barrier between runs keeps the compiler from moving the
    operation, whose operands do not change, out of the loop.
    """
    operands = _operands(operation)

    def looped(count: Array, operands: list[Array]) -> Any:
        def once(_: Array, carried: tuple[list[Array], Any]) -> tuple[list[Array], Any]:
            operands, _ = jax.lax.optimization_barrier(carried)
            return operands, operation(*operands)

        return jax.lax.fori_loop(0, count, once, (operands, operation(*operands)))[1]

    short, long = (jnp.asarray(count) for count in LOOPS)
    timings = measure_in_turns({"short": (looped, (short, operands)), "long": (looped, (long, operands))}, repeats)
    if not relative_error(timings["long"].result, operation(*operands)) <= TOLERANCE:
        raise ValueError(f"roofline: {_named(operation)} gives something else in a loop than alone")
    more = LOOPS[1] - LOOPS[0]
    seconds = (timings["long"].median_s - timings["short"].median_s) / more
    seconds = seconds if seconds > 0 else timings["long"].median_s / LOOPS[1]
    return seconds, timings["long"].spread_s / more, timings["long"].compile_s


def _sum(parts: list[Row]) -> Row:
    of = [(row.median_s, row.spread_s, row.compile_s, row.flops or 0, row.bytes or 0) for row in parts]
    seconds, spread, compiling, flops, traffic = (float(v) for v in np.sum(of, axis=0))
    first = parts[0]
    return Row(first.case, "heavy parts", first.batch, first.pass_, seconds, spread, compiling, None, flops, traffic)


def _passes(case: Case, batch: int) -> dict[str, tuple[Callable[..., Any], tuple[Any, ...]]]:
    drawn, x, weights = parameters(case), maps(case, batch), cotangent(case.name, batch)
    kernel, alpha, bias = (jnp.asarray(v, jnp.float32) for v in (drawn.kernel, drawn.alpha, drawn.bias))

    def forward(kernel: Array, alpha: Array, bias: Array, x: Array) -> Array:
        return cayley_conv(x, kernel, alpha, bias)

    gradient = jax.grad(lambda *free: jnp.vdot(weights, forward(*free)), argnums=(0, 1, 2, 3))
    arguments = (kernel, alpha, bias, x)
    return {"forward": (forward, arguments), "forward+backward": (gradient, arguments)}


def _kind(operation: Operation) -> str:
    """Equal for operations of the same shapes, types and parameters."""
    return f"{_named(operation)} {operation.equation.params}"


def _named(operation: Operation) -> str:
    """As "fij,fjk 26x100x100 · 26x100x100" for a product, else by the primitive's name."""
    equation = operation.equation
    shapes = " · ".join("x".join(map(str, variable.aval.shape)) or "1" for variable in equation.invars)
    name = equation.primitive.name
    if name == "dot_general":
        name = _letters(equation)
    return f"{name} {shapes}"


def _letters(equation: Any) -> str:
    """Axes of both operands of a product: those that they share carry the same letter."""
    (contracted, batch), letters = equation.params["dimension_numbers"], iter(string.ascii_lowercase)
    left = [next(letters) for _ in equation.invars[0].aval.shape]
    pairs = [*zip(*contracted, strict=True), *zip(*batch, strict=True)]
    shared = {other: left[own] for own, other in pairs}
    right = [shared.get(axis) or next(letters) for axis in range(len(equation.invars[1].aval.shape))]
    return f"{''.join(left)},{''.join(right)}"


def _operands(operation: Operation) -> list[Array]:
    rng = np.random.default_rng(0)
    return [
        jnp.asarray(rng.normal(size=variable.aval.shape), variable.aval.dtype) for variable in operation.equation.invars
    ]
