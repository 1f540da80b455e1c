"""The card of a trained model as Markdown: what it was trained on, how good it is, how far it can be pushed.
After Mitchell et al. 2019, Model Cards for Model Reporting (arXiv 1810.03993); all numbers are measured ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from robust_iqa_jax.report.findings import verdicts
from robust_iqa_jax.report.table import Column, Table, markdown, number
from robust_iqa_jax.report.tables import gains, masking, transfers
from robust_iqa_jax.report.types import ReportData


@dataclass(frozen=True)
class Accuracy:
    """Agreement with people's ratings on photos that were not trained on.

    Attributes:
      data: which photos.
      photos: how many.
      srocc, plcc: coefficients.
      low, high: 95 % interval of the SROCC, by bootstrap over photos.
    """

    data: str
    photos: int
    srocc: float
    plcc: float
    low: float
    high: float


@dataclass(frozen=True)
class Probe:
    """The score of one picture that is no ordinary photo.

    Attributes:
      picture: in words.
      score: of it.
    """

    picture: str
    score: float


def model_card(
    name: str,
    what: Sequence[str],
    accuracies: Sequence[Accuracy],
    probes: Sequence[Probe],
    report: ReportData,
    seconds: Mapping[str, float],
    further: Sequence[ReportData] = (),
) -> str:
    """The card.

    Args:
      name: of the model, one of the report's.
      what: paragraphs that say what it is for, what it was trained on, and what is known to fail.
      accuracies: on which photos.
      probes: behaviour on unusual pictures.
      report: the model beside its undefended twin.
      seconds: what a photo costs: name of a way to score -> seconds.
      further: each of the same models under more attacks on fewer photos, checked for masked gradients or not.
    """
    own = _of(name, report)
    parts = [
        accuracy_table(accuracies),
        gains(own),
        *(table for more in further for table in _further(name, more)),
        Table("probes", "Unusual pictures", (Column("picture"), number("score", 1)), _rows(probes)),
        Table("cost", "Cost of a photo", (Column("way"), number("seconds", 3)), tuple(seconds.items())),
    ]
    paragraphs = (
        *what,
        f"Gains under attack are means over {_attacked(own)} photos; attacks change what the model sees, resized.",
    )
    lines = [f"# {name}", "", *(line for paragraph in paragraphs for line in (paragraph, ""))]
    for table in parts:
        lines += [*markdown(table), ""]
    if sentences := [sentence for sentence in verdicts(report) if sentence.startswith(f"{name} ")]:
        lines += ["## In words", "", *(f"- {sentence}" for sentence in sentences), ""]
    return "\n".join(lines)


def accuracy_table(accuracies: Sequence[Accuracy]) -> Table:
    """SROCC and PLCC by data set."""
    columns = (
        Column("photos that no training saw"),
        Column("number", right=True),
        number("SROCC", 3),
        number("from", 3),
        number("to", 3),
        number("PLCC", 3),
    )
    rows: tuple[tuple[Any, ...], ...] = tuple((a.data, a.photos, a.srocc, a.low, a.high, a.plcc) for a in accuracies)
    note = "From, to: 95 % interval over photos (bootstrap)."
    return Table("accuracy", "Agreement with people", columns, rows, note)


def _of(name: str, report: ReportData) -> ReportData:
    """What a report has of one model."""
    rows = [row for row in report.rows if row["model"] == name]
    return ReportData(rows, report.models, [], report.run, attacks=report.attacks)


def _attacked(report: ReportData) -> int:
    return max((row.get("n", 0) for row in report.rows), default=0)


def _further(name: str, report: ReportData) -> list[Table]:
    """More attacks, those made on another model, and the checks for masked gradients, where there are any. Attacks on
    the model itself that stand beside those made on the other have no line of their own."""
    own = _of(name, report)
    shown = {own.kind(row["attack"]).blind for row in own.rows}
    alone = replace(own, rows=[row for row in own.rows if row["attack"] not in shown])
    others, photos = transfers(own), f"{_attacked(own)} photos"
    found = [
        replace(gains(alone), key="further", title=f"Under more attacks, {photos}"),
        replace(others, title=f"{others.title}, {photos}"),
        masking({name: own.models[name]}),
    ]
    return [table for table in found if table.rows]


def _rows(probes: Sequence[Probe]) -> tuple[tuple[Any, ...], ...]:
    return tuple((probe.picture, probe.score) for probe in probes)
