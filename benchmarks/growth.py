"""How do time, memory and arithmetic of each construction grow with the map's side, the channels and the batch?

    riqa bench growth --plots runs/plots --json rows.json

One of the three is varied at a time, forward and backward, against an ordinary convolution; slopes are fitted on log
scales over the larger half of what was measured. Every construction is held to its own float64 result first.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jax import Array
from matplotlib.figure import Figure

from robust_iqa_jax.benchmarks import torch_rows
from robust_iqa_jax.benchmarks.cases import Case, maps
from robust_iqa_jax.benchmarks.machine import ceilings
from robust_iqa_jax.benchmarks.measure import Row, measure, relative_error, timed_row
from robust_iqa_jax.benchmarks.rows import Output, collect, publish
from robust_iqa_jax.extras import require
from robust_iqa_jax.files import own_file
from robust_iqa_jax.functional.conv2d import circular_conv
from robust_iqa_jax.layers import CONVOLUTIONS
from robust_iqa_jax.work import work_of

CONV2D = "conv2d"
NAMES = (*CONVOLUTIONS, CONV2D, *torch_rows.IMPLS)
AXES = ("side", "channels", "batch")
QUANTITIES = {"time, ms": "median_s", "memory, MB": "peak_bytes", "arithmetic, GFLOP": "flops"}
TOLERANCE = 1e-4
"""Of the float64 result, relative to its largest entry."""
PASS = "forward+backward"


@dataclass(frozen=True)
class Args:
    """What is varied, around which point, and up to which cost."""

    side: tuple[int, ...] = (14, 20, 29, 41, 64, 96, 128)
    channels: tuple[int, ...] = (32, 64, 128, 256, 512, 1024)
    """In and out."""
    batch: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    at: tuple[int, int, int] = (29, 128, 4)
    """Side, channels and batch that the other two keep."""
    impl: tuple[str, ...] = (*CONVOLUTIONS, CONV2D)
    """Also, in processes of their own: torch-explicit-q, orthogonium-aoc (extra "bench")."""
    largest_gflop: float = 400.0
    """Points with more arithmetic are not run; of PyTorch's it is not counted, and all are."""
    repeats: int = 3
    plots: Path | None = None
    """Folder for the plot."""
    output: tyro.conf.OmitArgPrefixes[Output] = field(default_factory=Output)


def main(args: Args) -> list[Row]:
    """Measure, print, plot and write the rows; the exponents come last.

    Raises:
      ValueError: an unknown implementation, one whose packages are missing, or one that is not exact.
    """
    check(args)
    limits = ceilings()
    swept = {axis: collect(_sweep(args, axis)) for axis in AXES}
    rows = [row for some in swept.values() for row in some]
    publish("growth", f"Growth of cost, {PASS}", rows, limits, args.output)
    for (axis, impl), slopes in exponents(args, swept).items():
        print(f"{impl} grows with the {axis} as " + ", ".join(f"{name} ^{slope:.2f}" for name, slope in slopes.items()))
    if args.plots is not None:
        args.plots.mkdir(parents=True, exist_ok=True)
        _plot(args, swept, args.plots / "growth.png")
    return rows


def check(args: Args) -> None:
    """Raise ValueError for implementations that do not exist or cannot run here, or that are not exact."""
    for name in args.impl:
        if name not in NAMES:
            raise ValueError(f"--impl {name}: unknown; choose among {', '.join(NAMES)}")
        if name in torch_rows.IMPLS:
            require(f"--impl {name}", torch_rows.IMPLS[name])
        if name not in torch_rows.IMPLS:
            function, free, x = _call(name, _case(9, 6), 2)
            error = _error(function, free, x)
            if not error <= TOLERANCE:
                raise ValueError(f"growth: {name} differs from its float64 result by {error:.1e}")


def exponents(args: Args, swept: dict[str, list[Row]]) -> dict[tuple[str, str], dict[str, float]]:
    """(axis, implementation) -> quantity -> slope of its logarithm, over the larger half of the points."""
    found = {}
    for axis, rows in swept.items():
        for impl in args.impl:
            own = [(_position(axis, row), row) for row in rows if row.impl == impl]
            own = own[min(len(own) // 2, max(len(own) - 2, 0)) :]
            slopes = {}
            for label, attribute in QUANTITIES.items():
                points = [(at, getattr(row, attribute)) for at, row in own if getattr(row, attribute)]
                if len(points) > 1:
                    at, cost = np.log(np.array(points, float)).T
                    slopes[label.split(",")[0]] = float(np.polyfit(at, cost, 1)[0])
            found[axis, impl] = slopes
    return found


def _sweep(args: Args, axis: str) -> Iterator[Row]:
    for value in getattr(args, axis):
        side, channels, batch = (value if name == axis else kept for name, kept in zip(AXES, args.at, strict=True))
        for impl in args.impl:
            case = _case(side, channels)
            if impl in torch_rows.IMPLS:
                yield torch_rows.row(case.name, impl, batch, PASS, args.repeats, None)
                continue
            function, free, x = _call(impl, case, batch)
            gradient = jax.grad(lambda free, x, f=function: jnp.sum(jnp.sin(f(free, x))), (0, 1))
            if work_of(gradient, free, x).flops <= args.largest_gflop * 1e9:
                yield timed_row(case.name, impl, batch, PASS, measure(gradient, free, x, repeats=args.repeats))


def _case(side: int, channels: int) -> Case:
    return Case(f"{side}x{channels}x{channels}", side, channels, channels, "swept")


def _call(impl: str, case: Case, batch: int) -> tuple[Any, Any, Array]:
    """(free parameters, maps) -> maps, and both."""
    x = maps(case, batch)
    if impl == CONV2D:
        shape = (3, 3, case.channels_in, case.channels_out)
        kernel = jax.random.normal(jax.random.key(0), shape) / (9 * case.channels_in) ** 0.5
        return lambda kernel, x: circular_conv(x, kernel), kernel, x
    layer = CONVOLUTIONS[impl](case.channels_out)  # pyright: ignore[reportArgumentType]
    return partial(_applied, layer), jax.jit(layer.init)(jax.random.key(0), x[:1]), x


def _applied(layer: Any, variables: Any, x: Array) -> Array:
    return cast(Array, layer.apply(variables, x))


def _error(function: Any, free: Any, x: Array) -> float:
    y = np.asarray(jax.jit(function)(free, x))
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf), jnp.float64), (free, x))
        exact = np.asarray(jax.jit(function)(*wide))
    return relative_error(y, exact)


def _position(axis: str, row: Row) -> int:
    side, channels, _ = map(int, row.case.split("x"))
    return {"side": side, "channels": channels, "batch": row.batch}[axis]


def _plot(args: Args, swept: dict[str, list[Row]], path: Path) -> None:
    """A row of axes a quantity, a column what is varied, a line an implementation, its exponent at its end."""
    figure = Figure(figsize=(13, 10), layout="constrained")
    grid, slopes = figure.subplots(len(QUANTITIES), len(AXES), sharex="col"), exponents(args, swept)
    units = {"time, ms": 1e3, "memory, MB": 1e-6, "arithmetic, GFLOP": 1e-9}
    for column, axis in enumerate(AXES):
        for line, (label, attribute) in enumerate(QUANTITIES.items()):
            axes = grid[line, column]
            for impl in args.impl:
                points = [
                    (_position(axis, row), units[label] * getattr(row, attribute))
                    for row in swept[axis]
                    if row.impl == impl and getattr(row, attribute)
                ]
                slope = slopes[axis, impl].get(label.split(",")[0])
                if points:
                    name = impl if slope is None else f"{impl}  ^{slope:.1f}"
                    axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=name)
            axes.set(xscale="log", yscale="log")
            axes.set_xticks(list(getattr(args, axis)), [str(value) for value in getattr(args, axis)])
            axes.minorticks_off()
            axes.grid(alpha=0.3)
            axes.legend(fontsize=7)
            if column == 0:
                axes.set_ylabel(label)
        kept = ", ".join(f"{name} {value}" for name, value in zip(AXES, args.at, strict=True) if name != axis)
        grid[0, column].set_title(f"{axis}, at {kept}", fontsize=10)
        grid[-1, column].set_xlabel(axis)
    with own_file(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")
