"""Rows to the terminal, to JSON and to a dated Markdown file; options that every spectral benchmark shares."""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from robust_iqa_jax.benchmarks.machine import Ceilings, machine
from robust_iqa_jax.benchmarks.measure import Row
from robust_iqa_jax.files import write_text

COLUMNS = (
    *("case", "impl", "batch", "pass", "median ms", "spread ms", "compile s"),
    *("peak MB", "GFLOP", "of matmul rate", "GB", "of copy rate", "rel. error", "isometry error"),
)


@dataclass(frozen=True)
class Output:
    """Where rows go besides the terminal."""

    json: Path | None = None
    """File for the rows as a JSON list."""
    results: Path | None = None
    """Folder for a dated Markdown table with machine and versions."""
    trace: Path | None = None
    """Folder for a profiler trace of the run, compilation included (for TensorBoard's profile plugin or XProf)."""


def cells(row: Row, limits: Ceilings) -> list[str]:
    """One line of the table; "-" where a quantity does not apply."""
    share = None if row.flops is None else row.flops / row.median_s / limits.flops
    copied = None if row.bytes is None else row.bytes / row.median_s / limits.bytes
    return [
        row.case,
        row.impl,
        str(row.batch),
        row.pass_,
        f"{row.median_s * 1e3:.1f}",
        f"{row.spread_s * 1e3:.1f}",
        f"{row.compile_s:.1f}",
        "-" if row.peak_bytes is None else f"{row.peak_bytes / 1e6:.0f}",
        "-" if row.flops is None else f"{row.flops / 1e9:.2f}",
        "-" if share is None else f"{share:.0%}",
        "-" if row.bytes is None else f"{row.bytes / 1e9:.2f}",
        "-" if copied is None else f"{copied:.0%}",
        "-" if row.rel_err is None else f"{row.rel_err:.1e}",
        "-" if row.isometry_err is None else f"{row.isometry_err:.1e}",
    ]


def collect(rows: Iterable[Row]) -> list[Row]:
    """All rows; each is shown on standard error as soon as it is measured, since some take a minute."""
    console, collected = Console(stderr=True, highlight=False), []
    for row in rows:
        console.print(f"{row.case}, {row.impl}, batch {row.batch}, {row.pass_}: {row.median_s * 1e3:.1f} ms")
        collected.append(row)
    return collected


def publish(name: str, question: str, rows: list[Row], limits: Ceilings, output: Output) -> None:
    """Print the table and write what `output` asks for."""
    table = Table(title=question)
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in ("case", "impl", "pass") else "right", overflow="fold")
    for row in rows:
        table.add_row(*cells(row, limits))
    Console(width=None if Console().is_terminal else 200).print(table)
    if output.json is not None:
        output.json.parent.mkdir(parents=True, exist_ok=True)
        write_text(output.json, json.dumps([row.to_json() for row in rows], indent=1) + "\n")
    if output.results is not None:
        output.results.mkdir(parents=True, exist_ok=True)
        path = output.results / f"{time.strftime('%Y-%m-%d')}_{name}.md"
        write_text(path, markdown(question, rows, limits))


def markdown(question: str, rows: list[Row], limits: Ceilings) -> str:
    """The table with machine, versions and measured ceilings above it."""
    lines = [f"# {question}", ""]
    lines += [f"{key}: {value}  " for key, value in machine().items()]
    lines += [
        f"measured ceilings: {limits.flops / 1e9:.0f} GFLOP/s (float32 matmul), {limits.bytes / 1e9:.1f} GB/s (copy)"
    ]
    lines += ["", "| " + " | ".join(COLUMNS) + " |", "| --- |" + " --- |" * (len(COLUMNS) - 1)]
    lines += ["| " + " | ".join(cells(row, limits)) + " |" for row in rows]
    return "\n".join(lines) + "\n"
