"""`riqa models`: every model by name, its size, input and score range.
Example: riqa models koncept512 --json"""

import json
from dataclasses import dataclass
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import tyro
from rich.console import Console
from rich.table import Column, Table

from robust_iqa_jax.commands.progress import bar, out
from robust_iqa_jax.functional.work import work_of
from robust_iqa_jax.layers.cayley_conv import OPERATORS
from robust_iqa_jax.models.architectures import architecture
from robust_iqa_jax.models.presets import PRESETS, preset
from robust_iqa_jax.models.registry import build, shapes
from robust_iqa_jax.models.scorer import with_operators
from robust_iqa_jax.models.spec import ModelSpec


@dataclass(frozen=True)
class ModelsArgs:
    """List models."""

    names: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Only these."""
    json: bool = False
    """Print a list of objects."""


def main(args: list[str]) -> int:
    """Run the command; its exit status."""
    parsed = tyro.cli(ModelsArgs, args=args, prog="riqa models", description=__doc__)
    specs = {name: preset(name) for name in parsed.names} or PRESETS
    rows = []
    with bar() as progress:
        task = progress.add_task("counting", total=len(specs), note="")
        for name, spec in specs.items():
            rows.append({"model": name, **facts(spec)})
            progress.update(task, completed=len(rows))
    if parsed.json:
        print(json.dumps(rows, indent=2))
        return 0
    console = out if out.is_terminal else Console(width=200, highlight=False)
    table = Table(
        Column("model", no_wrap=True),
        "paper",
        "parameters",
        "input",
        "crops",
        "RobustBlock at",
        "score range",
        "GFLOP an image",
    )
    for row in rows:
        scale = "free, calibrated" if row["score_range"] is None else "{:g} to {:g}".format(*row["score_range"])
        table.add_row(
            row["model"],
            row["paper"],
            f"{row['parameters']:,}",
            "{} x {}".format(*row["input_size"]),
            str(row["crops"]),
            row["block_at"] or "-",
            scale,
            f"{row['gflop']:.1f}",
        )
    console.print(table)
    return 0


def facts(spec: ModelSpec) -> dict[str, Any]:
    """Size, input and cost of a model: parameters, and operations of one image's score with a prepared block."""
    entry, variables, module = architecture(spec), shapes(spec), build(spec)
    seen = variables
    crops = 1 if spec.crops is None else spec.crops.rows * spec.crops.columns
    image = jax.ShapeDtypeStruct((1, *spec.seen_size, 3), jnp.float32)
    if spec.block is not None:
        prepare = lambda v, x: module.apply(v, x, train=False, mutable=[OPERATORS])[1]  # noqa: E731
        seen = with_operators(variables, jax.eval_shape(prepare, variables, image)[OPERATORS])
    work = work_of(lambda v, x: module.apply(v, x, train=False), seen, image)
    return {
        "paper": entry.paper,
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(variables["params"])),
        "input_size": list(spec.input_size),
        "crops": crops,
        "block_at": None if spec.block is None else spec.block.at,
        "score_range": entry.score_range,
        "gflop": crops * work.flops / 1e9,
    }
