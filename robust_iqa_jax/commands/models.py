"""`riqa models`: the trained models that ship and how good they are; every model by name, its size, input and range.
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
from robust_iqa_jax.models.shipped import DEFAULT, shipped_measurements

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
    table, shipped = model_table(), shipped_measurements()
    for name in given.names:
        if name not in table and name not in shipped:
            from robust_iqa_jax.checks import unknown  # imports jax, which the list does without

            raise ValueError(unknown("model", name, (*shipped, *table)))
    names = dict.fromkeys(given.names or (*shipped, *table))
    measured = [{"model": name, **shipped[name]} for name in names if name in shipped]
    rows = [{"model": name, **table[name]} for name in names if name in table]
    if given.json:
        print(json.dumps([*measured, *rows], indent=2))
        return 0
    known_width = out.is_terminal or "COLUMNS" in os.environ
    console = Console(width=out.width if known_width else 200, highlight=False)
    if measured:
        console.print(_shipped(measured))
    if rows:
        console.print(_listing(rows, console.width >= _WIDE))
    return 0


def _shipped(rows: list[dict[str, Any]]) -> Table:
    sets, attack = list(rows[0]["srocc"]), rows[0]["gain"]["attack"]
    caption = f"SROCC on photos that no training saw; {attack}: mean change of a score in the model's own range"
    listing = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, caption=caption, caption_justify="left")
    listing.add_column("trained, ready to use", no_wrap=True)
    for heading in (*(f"SROCC {name}" for name in sets), "raised", "lowered"):
        listing.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        name = row["model"] + (" (default)" if row["model"] == DEFAULT else "")
        moved = (f"{row['gain'][way]:+.2f}" for way in ("raised", "lowered"))
        listing.add_row(name, *(f"{row['srocc'][name]:.3f}" for name in sets), *moved)
    return listing


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
