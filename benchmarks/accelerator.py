"""Everything worth knowing of a GPU or TPU, checked and timed within 20 minutes, as one table.

    python -m robust_iqa_jax.benchmarks.accelerator --results benchmarks/results --readme kernels/README.md

Products by precision, the Cayley solvers by size, transforms, every orthogonal convolution, a network's inference and
training step, PGD-8; each with its error against float64 or against the trained form, its share of the rate of a large
product and of the rate of a large copy. `--small` runs all of it on tiny sizes, on any machine.
"""

import dataclasses
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from rich.console import Console

from robust_iqa_jax import attacks
from robust_iqa_jax.benchmarks import block_cost, fft_core, robust_block, solvers
from robust_iqa_jax.benchmarks.cases import case_of
from robust_iqa_jax.benchmarks.machine import Ceilings, ceilings, machine
from robust_iqa_jax.benchmarks.measure import Row, measure, relative_error, timed_row
from robust_iqa_jax.benchmarks.rows import Output, cells, publish
from robust_iqa_jax.models.presets import preset
from robust_iqa_jax.models.registry import shapes
from robust_iqa_jax.models.scorer import Calibration, Scorer

BEGIN, END = "<!-- accelerator: begin -->", "<!-- accelerator: end -->"
"""Lines of a README between which the summary is written."""


@dataclass(frozen=True)
class Sizes:
    """What each part runs on; the defaults are an accelerator's."""

    product_sides: tuple[int, ...] = (1024, 4096, 8192)
    solver_cases: tuple[str, ...] = ("position2", "position6", "tres", "koncept")
    alphas: tuple[float, ...] = (1.0, 50.0, 300.0)
    transform_sides: tuple[tuple[int, int], ...] = ((29, 200), (64, 256), (120, 64))
    convolution_cases: tuple[str, ...] = ("position2", "position4", "position6", "koncept", "tres", "lite0")
    batches: tuple[int, ...] = (1, 8, 32)
    network: block_cost.Args = field(default_factory=lambda: block_cost.Args(batch=(1, 32), train_batch=(32,)))
    model: str = "linearity-resnet50-robust"
    attack_batch: int = 32
    repeats: int = 10


SMALL = Sizes(
    *((16,), ("small",), (1.0,), ((4, 3),), ("small",), (2,)),
    block_cost.Args("resnet18", (64, 64), 4, ("bcop",), (1,), (2,), 1),
    *("linearity-efficientnet_lite0-robust", 1, 1),
)


@dataclass(frozen=True)
class Args:
    """What runs, for how long, and where the results go."""

    part: tuple[str, ...] = ("products", "solvers", "transforms", "convolutions", "network", "attack")
    minutes: float = 20.0
    """No row is begun after them."""
    small: bool = False
    """Tiny sizes, to see that it runs."""
    readme: Path | None = None
    """Markdown file whose table between the marks of this benchmark is replaced by the summary."""
    output: tyro.conf.OmitArgPrefixes[Output] = field(default_factory=Output)


def main(args: Args) -> list[Row]:
    """Measure, print and write the rows; parts that the time did not reach are named.

    Raises:
      ValueError: an unknown part, or a README that does not exist or has no marks.
    """
    if unknown := [name for name in args.part if name not in PARTS]:
        raise ValueError(f"--part {unknown[0]}: unknown; choose among {', '.join(PARTS)}")
    if args.readme is not None:
        if not args.readme.is_file():
            raise ValueError(f"--readme {args.readme}: no such file; give a Markdown file to write the summary into")
        with_summary(args.readme.read_text(encoding="utf-8"), "")
    sizes, console = SMALL if args.small else Sizes(), Console(stderr=True, highlight=False)
    limits, ends, rows = ceilings(256 if args.small else 8192), time.monotonic() + 60 * args.minutes, []
    for part in args.part:
        for row in _until(ends, PARTS[part](sizes)):
            console.print(
                f"{part}: {row.case}, {row.impl}, batch {row.batch}, {row.pass_}: {row.median_s * 1e3:.2f} ms"
            )
            rows.append(dataclasses.replace(row, case=f"{part}: {row.case}"))
        if time.monotonic() > ends:
            console.print(f"{part}: ended by --minutes {args.minutes:g}; more time for the rest")
    publish("accelerator", f"Everything on {jax.devices()[0].device_kind}", rows, limits, args.output)
    if args.readme is not None:
        text = args.readme.read_text(encoding="utf-8")
        args.readme.write_text(
            with_summary(text, summary(rows, limits)), encoding="utf-8"
        )  # the user's, edited in place
    return rows


def summary(rows: list[Row], limits: Ceilings) -> str:
    """Markdown: the fastest implementation of every case, batch and pass, on which machine."""
    best: dict[tuple[str, int, str], Row] = {}
    for row in rows:
        key = (row.case, row.batch, row.pass_)
        if key not in best or row.median_s < best[key].median_s:
            best[key] = row
    facts = machine()
    lines = [
        f"{facts.get('accelerator', facts['machine'])}, {time.strftime('%Y-%m-%d')}, {facts['packages']}:",
        "",
        "| case | batch | pass | fastest | median ms | of matmul rate | of copy rate | error |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in best.values():
        line = cells(row, limits)
        lines.append(
            "| " + " | ".join([line[0], line[2], line[3], line[1], line[4], line[9], line[11], line[12]]) + " |"
        )
    return "\n".join(lines) + "\n"


def with_summary(text: str, table: str) -> str:
    """A README's text with the table between the marks.

    Raises:
      ValueError: no marks.
    """
    if BEGIN not in text or END not in text:
        raise ValueError(f"--readme: no lines {BEGIN} and {END} to write the table between; add them")
    return re.sub(f"{BEGIN}.*{END}", lambda _: f"{BEGIN}\n{table}{END}", text, flags=re.DOTALL)


def _until(ends: float, rows: Iterable[Row]) -> Iterator[Row]:
    iterator = iter(rows)
    while time.monotonic() <= ends:
        try:
            yield next(iterator)
        except StopIteration:
            return


def _products(sizes: Sizes) -> Iterator[Row]:
    """Square products by precision: what "highest", which the spectral part asks for, costs and what others lose."""
    for side in sizes.product_sides:
        rng = np.random.default_rng(0)
        a, b = (jnp.asarray(rng.normal(size=(side, side)), jnp.float32) for _ in range(2))
        exact = np.asarray(a[:64], np.float64) @ np.asarray(b, np.float64)
        for precision in ("highest", "high", "default", "bfloat16"):

            def product(a: jax.Array, b: jax.Array, precision: str = precision) -> jax.Array:
                if precision == "bfloat16":
                    return jnp.matmul(
                        a.astype(jnp.bfloat16), b.astype(jnp.bfloat16), preferred_element_type=jnp.float32
                    )
                return jnp.matmul(a, b, precision=precision)

            timing = measure(product, a, b, repeats=sizes.repeats)
            error = relative_error(timing.result[:64], exact)
            yield timed_row(f"side {side}", precision, 1, "forward", timing, error)


def _solvers(sizes: Sizes) -> Iterator[Row]:
    for name in sizes.solver_cases:
        for alpha in sizes.alphas:
            yield from solvers.inverse_rows(case_of(name), alpha, sizes.repeats)


def _transforms(sizes: Sizes) -> Iterator[Row]:
    for side, channels in sizes.transform_sides:
        for batch in sizes.batches:
            yield from fft_core.transform_rows(side, channels, batch, sizes.repeats)


def _convolutions(sizes: Sizes) -> Iterator[Row]:
    impls = ("factored", *robust_block.LAYERS, "conv2d")
    for name in sizes.convolution_cases:
        for batch in sizes.batches:
            yield from robust_block.case_rows(
                case_of(name), batch, robust_block.Args(impl=impls, repeats=sizes.repeats)
            )


def _network(sizes: Sizes) -> Iterator[Row]:
    return block_cost.cost_rows(dataclasses.replace(sizes.network, repeats=sizes.repeats))


def _attack(sizes: Sizes) -> Iterator[Row]:
    """PGD-8 on random weights of a model; the error is by how much it leaves its ball."""
    spec, rng = preset(sizes.model), np.random.default_rng(0)
    draw = lambda leaf: jnp.asarray(rng.uniform(0.01, 0.02, leaf.shape), leaf.dtype)  # noqa: E731
    scorer = Scorer(jax.tree.map(draw, shapes(spec)), Calibration.identity(), spec).prepare()
    images = jnp.asarray(rng.uniform(0, 1, (sizes.attack_batch, *spec.input_size, 3)), jnp.float32)
    attack, keys = attacks.pgd(eps=4 / 255, steps=8), jax.random.split(jax.random.key(0), sizes.attack_batch)

    def run(scorer: Any, keys: jax.Array, images: jax.Array) -> jax.Array:
        return attack.perturb(scorer, keys, images).images

    timing = measure(run, scorer, keys, images, repeats=sizes.repeats)
    outside = float(jnp.abs(timing.result - images).max()) - 4 / 255
    yield timed_row(sizes.model, "prepared", sizes.attack_batch, "pgd-8", timing, max(0.0, outside))


PARTS: dict[str, Callable[[Sizes], Iterable[Row]]] = {
    "products": _products,
    "solvers": _solvers,
    "transforms": _transforms,
    "convolutions": _convolutions,
    "network": _network,
    "attack": _attack,
}

if __name__ == "__main__":
    main(tyro.cli(Args, description=__doc__))
