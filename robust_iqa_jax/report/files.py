"""Writes an evaluation as report.json, report.md, per_image.csv, perturbations.json and tradeoff.png, and reads such a
folder again. Rows as evaluation.evaluate makes them; the findings in the files follow from the rows (report.tables).
What a clock said is in timings.json alone, so that the same evaluation gives the other files again byte by byte."""

import csv
import dataclasses
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robust_iqa_jax.evaluation.evaluate import Report
from robust_iqa_jax.files import check_outputs, recognise, write_text
from robust_iqa_jax.report.comparison import worth
from robust_iqa_jax.report.findings import (
    WHICH,
    attack_names,
    label_notes,
    pareto_front,
    tradeoff_points,
    worst_images,
)
from robust_iqa_jax.report.parquet import require_pyarrow, write_parquet
from robust_iqa_jax.report.plots import png, tradeoff
from robust_iqa_jax.report.table import Table, markdown
from robust_iqa_jax.report.tables import accuracy, gains, tables

Row = dict[str, Any]

NEEDED = {
    "rows": ("model", "attack", "eps", "abs_gain", "abs_gain_baseline_range", "abs_gain_raw"),
    "models": ("srocc", "clean_low", "clean_high", "clean_range_of_baseline"),
    "per_image": ("image", "model", "attack", "eps", "clean", "attacked"),
}
"""What every report has; it may have more."""

FILES = ("report.json", "report.md", "per_image.csv", "perturbations.json", "timings.json", "tradeoff.png")
PAGES = ("report.html", "report.tex")
"""In a report folder."""

TIMED = ("test_seconds",)
"""Facts of a model that the evaluation measures with a clock."""


def write_report(
    folder: Path | str,
    report: Report,
    *,
    title: str = "Robustness report",
    notes: Sequence[str] = (),
    parquet: bool = False,
) -> None:
    """Write the report files; each appears whole or not at all.

    Args:
      folder: created where missing.
      report: without per-image rows or pictures there is no file of them. The first model is the undefended baseline of
        those whose facts name none ("baseline"); pictures of the images moved furthest by any attack are kept.
      title: of the Markdown page.
      notes: sentences below the title.
      parquet: write the rows of per_image.csv as per_image.parquet too.

    Raises:
      ValueError: PyArrow is asked for and not installed; the folder holds files of these names that are not a report's.
    """
    if parquet:
        require_pyarrow()
    folder = Path(folder)
    check_report_folder(folder, parquet=parquet)
    folder.mkdir(parents=True, exist_ok=True)
    measured = report.models.items()
    timings = {name: {fact: facts[fact] for fact in TIMED if fact in facts} for name, facts in measured}
    models = {name: {fact: facts[fact] for fact in facts if fact not in TIMED} for name, facts in measured}
    report = dataclasses.replace(report, models=models)
    made = tables(report)
    stored = {"title": title, "run": report.run, "rows": report.rows, "models": models}
    stored["findings"] = findings(report, made)
    write_text(folder / "report.json", json.dumps(_finite(stored), indent=2) + "\n")
    write_text(folder / "report.md", page(report, made, title, notes))
    if report.per_image:
        text = io.StringIO()
        writer = csv.DictWriter(text, list(report.per_image[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(report.per_image)
        write_text(folder / "per_image.csv", text.getvalue())
        if parquet:
            write_parquet(folder / "per_image.parquet", report.per_image)
    if report.pictures:
        worst = {tuple(row[key] for key in WHICH) for row in worst_images(report.per_image, models)}
        kept = [row for row in report.pictures if tuple(row[key] for key in WHICH) in worst]
        write_text(folder / "perturbations.json", json.dumps(kept, indent=1) + "\n")
    if any(timings.values()):
        write_text(folder / "timings.json", json.dumps(timings, indent=2) + "\n")
    png(tradeoff(report.rows, models, attack_names(report.rows)), folder / "tradeoff.png")


def check_report_folder(folder: Path, *, parquet: bool = False, page: bool = False) -> None:
    """Raise ValueError where the files of a report would replace others than those of a report.

    Args:
      folder: of the report; it need not exist.
      parquet: whether per_image.parquet is written too.
      page: whether the page and the LaTeX tables are written too.
    """
    recognise([folder / name for name in FILES], lambda: _is_report(folder))
    more = (("per_image.parquet",) if parquet else ()) + (PAGES if page else ())
    check_outputs([folder / name for name in (*FILES, *more)])


def read_report(folder: Path | str) -> tuple[Report, str]:
    """The report in a folder, and its title.

    Args:
      folder: with report.json; per_image.csv, perturbations.json and timings.json where there is anything for them.

    Raises:
      ValueError: no such file, or not one of `write_report`, of any version.
    """
    path = Path(folder) / "report.json"
    if not path.is_file():
        raise ValueError(f"{folder}: no report.json there; give a folder that riqa evaluate or riqa quickstart wrote")
    try:
        stored = json.loads(path.read_text())
        rows, models = stored["rows"], stored["models"]
        if not (isinstance(rows, list) and isinstance(models, dict) and models):
            raise TypeError
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not a report of riqa evaluate or riqa quickstart") from error
    for number, row in enumerate(rows, 1):
        _check(row, "rows", f"{path}: row {number}")
        if row["model"] not in models:
            raise ValueError(f"{path}: row {number} is of {row['model']!r}, of which the file has no facts")
    for name, facts in models.items():
        _check(facts, "models", f"{path}: model {name!r}")
        if facts.get("baseline", name) not in models:
            raise ValueError(
                f"{path}: model {name!r} has the baseline {facts['baseline']!r}, of which there are no facts"
            )
    timings = _timings(path.with_name("timings.json"))
    models = {name: {**facts, **timings.get(name, {})} for name, facts in models.items()}
    table = path.with_name("per_image.csv")
    per_image = _per_image(table) if table.is_file() else []
    pictures = _pictures(path.with_name("perturbations.json"))
    return Report(rows, models, per_image, stored.get("run", {}), pictures), stored.get("title", "Robustness report")


def _is_report(folder: Path) -> bool:
    try:
        read_report(folder)
    except (ValueError, OSError):
        return False
    return True


def _pictures(path: Path) -> list[Row]:
    if not path.is_file():
        return []
    try:
        stored = json.loads(path.read_text())
        return [{key: row[key] for key in (*WHICH, "amplified", "picture")} for row in stored]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not the pictures of a report; remove it") from error


def _timings(path: Path) -> dict[str, Row]:
    if not path.is_file():
        return {}
    try:
        stored = json.loads(path.read_text())
        return {name: dict(facts) for name, facts in stored.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not the seconds of a report; remove it") from error


def _per_image(path: Path) -> list[Row]:
    result: list[Row] = []
    with path.open(newline="") as file:
        for number, row in enumerate(csv.DictReader(file), 2):
            _check(row, "per_image", f"{path}: line {number}")
            try:
                row |= {name: float(row[name]) for name in ("clean", "attacked")}
                row |= {name: float(row[name]) if row[name] else None for name in ("eps", "mos") if name in row}
                result.append(row)
            except (TypeError, ValueError) as error:
                raise ValueError(f"{path}: line {number} is not a row of per-image scores ({error})") from error
    return result


def _check(row: Any, kind: str, where: str) -> None:
    missing = [name for name in NEEDED[kind] if not isinstance(row, dict) or name not in row]
    if missing:
        raise ValueError(f"{where} has no {missing[0]!r}; evaluate again with this version")


def findings(report: Report, made: Sequence[Table]) -> Row:
    """What follows from the rows, for programs: range compression, Pareto fronts, and the other tables by column."""
    fronts = {
        attack: pareto_front(tradeoff_points(report.rows, report.models, attack))
        for attack in attack_names(report.rows)
    }
    return {"pareto_fronts": fronts} | {
        table.key: {"columns": [column.title for column in table.columns], "rows": table.rows}
        for table in made
        if table.key in ("compression", "worst") or table.key.startswith("published")
    }


def summary(report: Report) -> str:
    """What a terminal shows of a report: accuracy, gains and what the defences are worth, in Markdown."""
    lines = [*label_notes(report.models, report.run), "", *markdown(accuracy(report.models))]
    lines += markdown(gains(report.rows))
    return "\n".join([*lines, *(f"- {sentence}" for sentence in worth(report))]).lstrip("\n")


def page(report: Report, made: Sequence[Table], title: str, notes: Sequence[str] = ()) -> str:
    """The report as a Markdown page."""
    notes = (*label_notes(report.models, report.run), *notes)
    lines = [f"# {title}", "", *(line for note in notes for line in (note, ""))]
    lines += [f"- {sentence}" for sentence in worth(report)]
    lines += ["", *(line for table in made for line in markdown(table))]
    return "\n".join([*lines, "![robustness against accuracy](tradeoff.png)", ""])


def _finite(value: Any) -> Any:
    """JSON has no NaN: null in its place."""
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
