"""A report written to a folder (report.json, report.md, per_image.csv, perturbations.json, tradeoff.png), and read.
The findings in the files follow from the rows (report.tables). What a clock said is in timings.json alone, so that the
same evaluation gives the other files again byte by byte."""

import csv
import dataclasses
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from robust_iqa_jax.extras import require
from robust_iqa_jax.files import check_outputs, recognise, write_text
from robust_iqa_jax.report.answer import answer_table, decisive, recommendation
from robust_iqa_jax.report.comparison import worth
from robust_iqa_jax.report.findings import WHICH, label_notes, pareto_front, tradeoff_points, worst_images
from robust_iqa_jax.report.parquet import write_parquet
from robust_iqa_jax.report.table import Table, markdown
from robust_iqa_jax.report.tables import accuracy, defended, gains, tables
from robust_iqa_jax.report.types import AttackKind, GainRow, ImageRow, ModelFacts, Picture, ReportData
from robust_iqa_jax.wording import hyphenated

if TYPE_CHECKING:
    from robust_iqa_jax.report.plots import NotebookFigure

TITLE = "Robustness report"
FILES = ("report.json", "report.md", "per_image.csv", "perturbations.json", "timings.json", "tradeoff.png")
PAGES = ("report.html", "report.tex")
"""In a report folder."""

TIMED = ("test_seconds",)
"""Facts of a model that the evaluation measures with a clock."""


@dataclass(frozen=True, eq=False, repr=False)
class Report(ReportData):
    """Results of one or more models that can be written to a folder; see `types.ReportData` for what they are."""

    def write(self, folder: Path | str, title: str = TITLE) -> None:
        """report.json, report.md, per_image.csv, perturbations.json and tradeoff.png in `folder`."""
        write_report(folder, self, title=title)

    def plot(self) -> "NotebookFigure":
        """Robustness against accuracy, and gain against the size of the attack, a line of panels for each attack.

        Raises:
          MissingExtra: matplotlib is not installed.
        """
        require("plot", "matplotlib")
        from robust_iqa_jax.report.plots import tradeoff

        return tradeoff(self.rows, self.models, decisive(self))

    def to_pandas(self, *, per_image: bool = False) -> Any:
        """A pandas.DataFrame of `rows`, or of `per_image`.

        Raises:
          MissingExtra: pandas is not installed.
        """
        require("to_pandas", "pandas")
        import pandas

        return pandas.DataFrame(self.per_image if per_image else self.rows)

    def _repr_html_(self) -> str:
        """The answer in sentences, and its table."""
        table = answer_table(self)
        lines = [*label_notes(self.models, self.run), *recommendation(self)]
        heads = "".join(f"<th>{escape(column.title)}</th>" for column in table.columns)
        rows = "".join(f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in texts)}</tr>" for texts in table.texts())
        said = "".join(f"<p>{escape(line.replace('**', ''))}</p>" for line in lines)
        return f"{said}<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table><p>{escape(table.note)}</p>"


def write_report(
    folder: Path | str,
    report: ReportData,
    *,
    title: str = TITLE,
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
      MissingExtra: PyArrow is asked for and not installed, or Matplotlib is not.
      ValueError: the folder holds files of these names that are not a report's.
    """
    folder = Path(folder)
    check_report_folder(folder, parquet=parquet)
    folder.mkdir(parents=True, exist_ok=True)
    timings = {name: _facts(facts, timed=True) for name, facts in report.models.items()}
    models = {name: _facts(facts, timed=False) for name, facts in report.models.items()}
    report = dataclasses.replace(report, models=cast(dict[str, ModelFacts], models))
    made = tables(report)
    stored = {
        "title": title,
        "run": report.run,
        "rows": report.rows,
        "models": models,
        "attacks": {name: dataclasses.asdict(kind) for name, kind in report.attacks.items()},
        "findings": findings(report, made),
    }
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
        worst = {_which(row) for row in worst_images(report.per_image, report.models)}
        shown = [row for row in report.pictures if _which(row) in worst]
        write_text(folder / "perturbations.json", json.dumps(shown, indent=1) + "\n")
    if any(timings.values()):
        write_text(folder / "timings.json", json.dumps(timings, indent=2) + "\n")
    from robust_iqa_jax.report.plots import png, tradeoff

    png(tradeoff(report.rows, report.models, decisive(report)), folder / "tradeoff.png")


def check_report_folder(folder: Path, *, parquet: bool = False, page: bool = False) -> None:
    """Raise ValueError where the files of a report would replace others than those of a report, and MissingExtra where
    a package that writes them is not installed.

    Args:
      folder: of the report; it need not exist.
      parquet: whether per_image.parquet is written too.
      page: whether the page and the LaTeX tables are written too.
    """
    require("figures of a report", "matplotlib")
    if parquet:
        require("per_image.parquet", "pyarrow")
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
        attacks = {name: AttackKind(**kind) for name, kind in stored.get("attacks", {}).items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not a report of riqa evaluate or riqa quickstart") from error
    for number, row in enumerate(rows, 1):
        _check(row, GainRow, f"{path}: row {number}")
        if row["model"] not in models:
            raise ValueError(f"{path}: row {number} is of {row['model']!r}, of which the file has no facts")
    for name, facts in models.items():
        _check(facts, ModelFacts, f"{path}: model {name!r}")
        if facts.get("baseline", name) not in models:
            raise ValueError(
                f"{path}: model {name!r} has the baseline {facts['baseline']!r}, of which there are no facts"
            )
    timings = _timings(path.with_name("timings.json"))
    models = {
        name: _hyphenated_areas(cast(ModelFacts, {**facts, **timings.get(name, {})})) for name, facts in models.items()
    }
    table = path.with_name("per_image.csv")
    per_image = _per_image(table) if table.is_file() else []
    pictures = _pictures(path.with_name("perturbations.json"))
    rows, per_image, pictures = map(_hyphenated, (rows, per_image, pictures))
    return Report(rows, models, per_image, stored.get("run", {}), pictures, attacks), stored.get("title", TITLE)


def _facts(facts: ModelFacts, timed: bool) -> dict[str, Any]:
    """Those that a clock gave, or the others."""
    return {fact: value for fact, value in facts.items() if (fact in TIMED) == timed}


def _which(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[key] for key in WHICH)


def _hyphenated(rows: Sequence[Any]) -> list[Any]:
    """Rows with attacks as they are spelt now: older reports have "mifgsm-10"."""
    return [{**row, "attack": hyphenated(row["attack"])} for row in rows]


def _hyphenated_areas(facts: ModelFacts) -> ModelFacts:
    areas = facts.get("auc")
    if areas:
        facts["auc"] = {hyphenated(attack): area for attack, area in areas.items()}
    return facts


def _is_report(folder: Path) -> bool:
    try:
        read_report(folder)
    except (ValueError, OSError):
        return False
    return True


def _pictures(path: Path) -> list[Picture]:
    if not path.is_file():
        return []
    try:
        stored = json.loads(path.read_text())
        required = Picture.__required_keys__
        return [
            cast(Picture, {key: row[key] for key in Picture.__annotations__ if key in row or key in required})
            for row in stored
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not the pictures of a report; remove it") from error


def _timings(path: Path) -> dict[str, dict[str, Any]]:
    if not path.is_file():
        return {}
    try:
        stored = json.loads(path.read_text())
        return {name: dict(facts) for name, facts in stored.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not the seconds of a report; remove it") from error


def _per_image(path: Path) -> list[ImageRow]:
    result: list[ImageRow] = []
    with path.open(newline="") as file:
        for number, cells in enumerate(csv.DictReader(file), 2):
            _check(cells, ImageRow, f"{path}: line {number}")
            row: dict[str, Any] = dict(cells)
            try:
                row |= {name: float(row[name]) for name in ("clean", "attacked")}
                row |= {name: float(row[name]) if row[name] else None for name in ("eps", "mos") if name in row}
                result.append(cast(ImageRow, row))
            except (TypeError, ValueError) as error:
                raise ValueError(f"{path}: line {number} is not a row of per-image scores ({error})") from error
    return result


def _check(row: Any, kind: type, where: str) -> None:
    """Raise ValueError where a row lacks what every report of its kind has; it may have more."""
    required = [name for name in kind.__annotations__ if name in kind.__required_keys__]
    missing = [name for name in required if not isinstance(row, dict) or name not in row]
    if missing:
        raise ValueError(f"{where} has no {missing[0]!r}; evaluate again with this version")


def findings(report: ReportData, made: Sequence[Table]) -> dict[str, Any]:
    """What follows from the rows, for programs: range compression, Pareto fronts, and the other tables by column."""
    fronts = {
        attack: pareto_front(tradeoff_points(report.rows, report.models, attack)) for attack in report.one_way_attacks()
    }
    return {"pareto_fronts": fronts} | {
        table.key: {"columns": [column.title for column in table.columns], "rows": table.rows}
        for table in made
        if table.key in ("compression", "worst") or table.key.startswith("published")
    }


def summary(report: ReportData) -> str:
    """What a terminal shows of a report: accuracy, gains and what the defences are worth, in Markdown."""
    lines = [*label_notes(report.models, report.run), "", *recommendation(report), ""]
    lines += markdown(accuracy(report.models))
    lines += markdown(gains(report))
    at_inference = defended(report)
    lines += markdown(at_inference) if at_inference.rows else []
    return "\n".join([*lines, *(f"- {sentence}" for sentence in worth(report))]).lstrip("\n")


def page(report: ReportData, made: Sequence[Table], title: str, notes: Sequence[str] = ()) -> str:
    """The report as a Markdown page."""
    notes = (*label_notes(report.models, report.run), *notes)
    lines = [f"# {title}", "", *(line for note in notes for line in (note, ""))]
    lines += [line for sentence in recommendation(report) for line in (sentence, "")]
    lines += markdown(answer_table(report))
    if sentences := worth(report):
        lines += ["## What the defences are worth", "", *(f"- {sentence}" for sentence in sentences), ""]
    lines += [line for table in made for line in markdown(table)]
    return "\n".join([*lines, "![robustness against accuracy](tradeoff.png)", ""])


def _finite(value: Any) -> Any:
    """JSON has no NaN: null in its place."""
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
