"""`riqa models`: every model by name, its size, input and score range.
Example: riqa models koncept512 --json"""

import json
import os
from dataclasses import dataclass
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table

from robust_iqa_jax.commands.arguments import parsed
from robust_iqa_jax.commands.progress import out
from robust_iqa_jax.models.model_table import model_table

_WIDE = 130
"""Columns of a console from which on the paper and the score range are shown as well."""


@dataclass(frozen=True)
class ModelsArgs:
    """List models."""

    names: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Only these."""
    json: bool = False
    """Print a list of objects."""


def main(args: list[str]) -> int:
    """Run the command; its exit status."""
    given = parsed(ModelsArgs, args, "riqa models", __doc__)
    table = model_table()
    for name in given.names:
        if name not in table:
            from robust_iqa_jax.checks import unknown  # imports jax, which the list does without

            raise ValueError(unknown("model", name, table))
    rows = [{"model": name, **table[name]} for name in dict.fromkeys(given.names or table)]
    if given.json:
        print(json.dumps(rows, indent=2))
        return 0
    known_width = out.is_terminal or "COLUMNS" in os.environ
    console = Console(width=out.width if known_width else 200, highlight=False)
    console.print(_listing(rows, console.width >= _WIDE))
    return 0


def _listing(rows: list[dict[str, Any]], wide: bool) -> Table:
    listing = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    listing.add_column("model", no_wrap=True)
    for heading in ("parameters" if wide else "size", "input", "crops", "GFLOP"):
        listing.add_column(heading, justify="right", no_wrap=True)
    for heading in ("RobustBlock at", "score range", "paper") if wide else ("block",):
        listing.add_column(heading, no_wrap=True)
    for row in rows:
        scale = "free, calibrated" if row["score_range"] is None else "{:g} to {:g}".format(*row["score_range"])
        size = f"{row['parameters']:,}" if wide else f"{row['parameters'] / 1e6:.1f} M"
        block = row["block_at"] or "-"
        cells = [
            row["model"],
            size,
            "{}x{}".format(*row["input_size"]),
            str(row["crops"]),
            f"{row['gflop']:.1f}",
            block,
        ]
        listing.add_row(*cells, *((scale, row["paper"]) if wide else ()))
    return listing
