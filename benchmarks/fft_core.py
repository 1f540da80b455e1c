"""Where does the time of a Cayley convolution go, and which transform is fast at which size?

    riqa bench fft_core --case position6 --batch 1 8 --json rows.json --plots runs/plots

Parts of one forward pass, each on its own: kernel to systems, their inverse, transforms (jnp.fft and DFT by products),
the product in the frequency domain, the small convolution. `--sides` and `--channels` sweep the transforms.
"""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, StrMethodFormatter

from robust_iqa_jax.benchmarks.cases import CASES, Case, maps, parameters
from robust_iqa_jax.benchmarks.machine import ceilings
from robust_iqa_jax.benchmarks.measure import Row, measure, relative_error, timed_row
from robust_iqa_jax.benchmarks.rows import Output, publish
from robust_iqa_jax.files import own_file
from robust_iqa_jax.functional import cayley
from robust_iqa_jax.functional.cayley_system import lag_matrices, product, systems
from robust_iqa_jax.functional.conv2d import circular_conv
from robust_iqa_jax.functional.spectral import frequencies
from robust_iqa_jax.kernels.cayley_solve.api import inverse
from robust_iqa_jax.kernels.cayley_solve.planes import split
from robust_iqa_jax.kernels.dft2.api import TRANSFORMS, irfft2, rfft2


@dataclass(frozen=True)
class Args:
    """Which shapes, and what to sweep."""

    case: tuple[str, ...] = ("position6",)
    """Shapes, as for robust_block."""
    batch: tuple[int, ...] = (1, 8)
    sides: tuple[int, ...] = (7, 14, 29, 32, 59, 64, 120)
    """Map sides of the transform sweep, at the first of --channels."""
    channels: tuple[int, ...] = (64, 128, 256, 512)
    """Channels of the transform sweep, at side 29."""
    repeats: int = 7
    plots: Path | None = None
    """Folder for the plots of the sweep."""
    output: tyro.conf.OmitArgPrefixes[Output] = field(default_factory=Output)


def main(args: Args) -> list[Row]:
    """Measure, print, plot and write the rows.

    Raises:
      ValueError: unknown case.
    """
    if unknown := [name for name in args.case if name not in CASES]:
        raise ValueError(f"--case {unknown[0]}: unknown; choose among {', '.join(CASES)}")
    limits, rows = ceilings(), []
    for name in args.case:
        for batch in args.batch:
            rows += part_rows(CASES[name], batch, args.repeats)
    by_side = {n: transform_rows(n, args.channels[0], args.batch[-1], args.repeats) for n in args.sides}
    by_channels = {c: transform_rows(29, c, args.batch[-1], args.repeats) for c in args.channels}
    for swept in (*by_side.values(), *by_channels.values()):
        rows += swept
    publish("fft_core", "Parts of the Cayley convolution", rows, limits, args.output)
    if args.plots is not None:
        args.plots.mkdir(parents=True, exist_ok=True)
        batch = args.batch[-1]
        _plot(by_side, "side of the map", f"{args.channels[0]} channels, batch {batch}", args.plots / "dft2_sides.png")
        _plot(by_channels, "channels", f"29 x 29 maps, batch {batch}", args.plots / "dft2_channels.png")
    return rows


def part_rows(case: Case, batch: int, repeats: int) -> list[Row]:
    """Each part of one forward pass on its own, transforms by every method."""
    drawn, x, size = parameters(case), maps(case, batch), (case.side, case.side)
    kernel = jnp.asarray(drawn.kernel, jnp.float32)
    square, rectangular, _ = cayley.split(kernel)
    system = measure(lambda s, r: systems(lag_matrices(s, r), frequencies(size)), square, rectangular, repeats=repeats)
    solved = measure(inverse, system.result, repeats=repeats)
    side = system.result.shape[-1]
    narrow = x[..., :side]
    spectrum = jax.jit(rfft2)(narrow).reshape(batch, -1, side)
    parts = {
        "system": system,
        "inverse": solved,
        "product": measure(product, split(solved.result), spectrum, repeats=repeats),
        "circular conv": measure(circular_conv, narrow, rectangular, repeats=repeats),
    }
    rows = [timed_row(case.name, part, batch, "forward", timing) for part, timing in parts.items()]
    return rows + transform_rows(case.side, side, batch, repeats, case.name)


def transform_rows(n: int, channels: int, batch: int, repeats: int, name: str = "") -> list[Row]:
    """Both directions by every transform, on n x n maps, held to numpy's in float64."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=(batch, n, n, channels)), jnp.float32)
    exact = np.fft.rfft2(np.asarray(x, np.float64), axes=(1, 2))
    spectrum, rows = jnp.asarray(exact, jnp.complex64), []
    for transform in TRANSFORMS:
        there = measure(partial(rfft2, transform=transform), x, repeats=repeats)
        back = measure(partial(irfft2, size=(n, n), transform=transform), spectrum, repeats=repeats)
        for part, timing, expected in (("rfft2", there, exact), ("irfft2", back, np.asarray(x))):
            error = relative_error(timing.result, expected)
            label = name or f"{n}x{n}x{channels}"
            rows.append(timed_row(label, f"{part}:{transform}", batch, "forward", timing, error))
    return rows


def _plot(swept: dict[int, list[Row]], xlabel: str, title: str, path: Path) -> None:
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for impl in [row.impl for row in next(iter(swept.values()))]:
        times = [next(row.median_s for row in rows if row.impl == impl) * 1e3 for rows in swept.values()]
        axes.plot(list(swept), times, marker="o", label=impl)
    axes.set(xscale="log", yscale="log", xlabel=xlabel, ylabel="median time, ms", title=title)
    axes.set_xticks(list(swept), [str(value) for value in swept], rotation=90)  # 29 and 32 lie side by side
    axes.minorticks_off()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.legend()
    with own_file(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")
