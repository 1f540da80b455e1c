"""The tables of a report: accuracy, gains, areas, range compression, cost, published tables with ours, worst photos.
The headline is the gain on the undefended baseline's range; the other scalings stand beside it (docs/sources.md 5)."""

from collections.abc import Mapping, Sequence
from typing import Any

from robust_iqa_jax.evaluation.evaluate import Report
from robust_iqa_jax.report.comparison import Duel, against_baselines
from robust_iqa_jax.report.findings import (
    WHERE,
    WHICH,
    attack_names,
    compressions,
    one_way,
    undefended,
    worst_images,
)
from robust_iqa_jax.report.published_tables import DEFENCES, POSITIONS, PublishedColumn, PublishedTable
from robust_iqa_jax.report.table import Column, Table, number
from robust_iqa_jax.wording import eps_text

Row = dict[str, Any]

EPS = Column("eps", eps_text, right=True)
MODEL, ATTACK = Column("model"), Column("attack")
COST = {"parameters": 0, "train_seconds": 1, "test_seconds": 1, "test_photos": 0}
"""Facts about cost, where a model has them, and their digits."""


def tables(report: Report) -> list[Table]:
    """All tables that the data allow, in the order of a report.

    Args:
      report: its first model is the undefended baseline of those whose facts name none.
    """
    rows, models, per_image = report.rows, report.models, report.per_image
    made = [accuracy(models)] if any(facts["srocc"] is not None for facts in models.values()) else []
    made.append(gains(rows))
    fought = against_baselines(report)
    optional = (areas(models), compression(rows, models), paired(fought, models), masking(models), cost(models))
    made += [table for table in optional if table.rows]
    made += [published(table, rows, models) for table in (POSITIONS, DEFENCES)]
    return [*made, worst(per_image, models)] if per_image else made


def accuracy(models: Mapping[str, Row]) -> Table:
    """Correlation with opinion scores, and error."""
    measures = ("srocc", "plcc", "krocc", "rmse")
    rows = tuple((name, *(facts.get(measure) for measure in measures)) for name, facts in models.items())
    return Table("accuracy", "Accuracy", (MODEL, *(number(measure.upper()) for measure in measures)), rows)


def gains(rows: Sequence[Row]) -> Table:
    """One line a model, attack and size."""
    measures = {
        "abs_gain_baseline_range": "AbsGain, baseline range",
        "abs_gain": "AbsGain, own range",
        "abs_gain_raw": "AbsGain, points",
        "rscore_baseline_range": "R-Score, baseline range",
        "rscore": "R-Score, own range",
        "srocc_under_attack": "SROCC under attack",
    }
    note = (
        "AbsGain is the mean signed change of the score; 0 is a perfect defence. **Baseline range** (the headline) "
        "divides it by the undefended model's range of clean scores, own range by the model's own; points are score "
        "points. R-Score (MSU form) is higher for more robust models."
    )
    both_ways = dict.fromkeys(row["attack"] for row in rows if not one_way(row["attack"]))
    if both_ways:
        note += f" {', '.join(both_ways)}: raises some scores and lowers others, so that the mean says nothing."
    return Table(
        "gains",
        "Gain under attack",
        (MODEL, ATTACK, EPS, *(number(title) for title in measures.values())),
        tuple(
            (row["model"], row["attack"], row["eps"], *(row.get(measure) for measure in measures)) for row in rows
        ),
        note,
    )  # fmt: skip


def areas(models: Mapping[str, Row]) -> Table:
    """Areas over eps, of attacks with several sizes."""
    measures = {
        "abs_gain_baseline_range": "AbsGain, baseline range",
        "abs_gain": "AbsGain, own range",
        "abs_gain_raw": "AbsGain, points",
        "rscore": "R-Score, own range",
    }
    rows = tuple(
        (name, attack, *(area.get(measure) for measure in measures))
        for name, facts in models.items()
        for attack, area in (facts.get("auc") or {}).items()
    )
    note = "Trapezoids over the sizes above, eps in [0,1] pixels."
    columns = (MODEL, ATTACK, *(number(title, 5) for title in measures.values()))
    return Table("areas", "Area over eps", columns, rows, note)


def compression(rows: Sequence[Row], models: Mapping[str, Row]) -> Table:
    """How much of a defence is a narrower (or wider) score range; see `range_compression.RangeCompression`."""
    note = (
        "Effect: mean of |AbsGain| over the attack sizes. g is the baseline's effect, o the model's on its own range "
        "of clean scores, h the same on the baseline's range; h = c o, where c = model's range / baseline's range. A "
        "model that only prints smaller numbers has o = g and h = c g. Range compression's share of the fall on the "
        "baseline's range = (o - h) / (g - h): above 1 where the model is less robust on its own range, below 0 for a "
        "range that widened."
    )
    columns = (
        MODEL, Column("baseline"), ATTACK, number("c"), number("g"), number("o, own range"),
        number("h, baseline range"), number("share of compression", 3), Column("more robust"),
    )  # fmt: skip
    baselines = undefended(models)
    lines = tuple(
        (
            model, baselines[model], attack, found.range_ratio, found.baseline_gain, found.own_gain,
            found.baseline_range_gain, found.share_of_reduction, WHERE[found.verdict],
        )
        for (model, attack), found in compressions(rows, models).items()
    )  # fmt: skip
    return Table("compression", "How much of the defence is score range", columns, lines, note)


def paired(fought: Mapping[tuple[str, str], Duel], models: Mapping[str, Row]) -> Table:
    """Whether the attacked photos show a difference to the undefended model; see `comparison.against_baselines`."""
    ranges = ("own range", "baseline's range")
    columns = [MODEL, Column("baseline"), ATTACK, Column("photos", right=True)]
    for which in ranges:
        columns += [number(f"{which}: difference"), number("from"), number("to"), Column("shown to be")]
    baselines, lines = undefended(models), []
    for (model, attack), duel in fought.items():
        if duel.intervals is None:
            continue
        line: list[Any] = [model, baselines[model], attack, duel.photos]
        for which, effects in enumerate((duel.own, duel.baseline)):
            shown = {0: "less robust", 1: "more robust", None: "neither"}[duel.winner(which)]
            line += [effects[1] - effects[0], *duel.intervals[which], shown]
        lines.append(tuple(line))
    note = (
        "The model's effect minus its baseline's, below 0 where it is more robust, with 95 % intervals from bootstrap "
        "draws of the attacked photos, the same for both models. One test a line: of twenty lines without any real "
        "difference about one shows one."
    )
    return Table("paired", "Is the difference more than chance", tuple(columns), tuple(lines), note)


def masking(models: Mapping[str, Row]) -> Table:
    """What the checks for masked gradients found, of the models that were checked (riqa evaluate --masking)."""
    rows = tuple(
        (name, check, "yes" if found["suspicious"] else "no", found["value"], found["limit"], found["meaning"])
        for name, facts in models.items()
        for check, found in (facts.get("masking") or {}).items()
    )
    columns = (
        MODEL, Column("check"), Column("suspicious"), number("value"), number("limit"), Column("value against limit"),
    )  # fmt: skip
    note = "Where a check is suspicious, small gains may show hidden gradients and not robustness (arXiv 1802.00420)."
    return Table("masking", "Signs of masked gradients", columns, rows, note)


def cost(models: Mapping[str, Row]) -> Table:
    """Parameters and seconds, of the models that have any."""
    known = [measure for measure in COST if any(facts.get(measure) is not None for facts in models.values())]
    columns = (MODEL, *(number(measure.replace("_", " "), COST[measure]) for measure in known))
    rows = tuple((name, *(facts.get(measure) for measure in known)) for name, facts in models.items() if known)
    note = (
        "Training as the run recorded it; testing scores all photos, with decoding and compilation. Seconds of one "
        "machine, to be compared within this table only."
    )
    return Table("cost", "Cost", columns, rows, note)


def published(table: PublishedTable, rows: Sequence[Row], models: Mapping[str, Row]) -> Table:
    """A published table with a report's numbers beside it, where a model has one of the names of a row."""
    columns, lines = [Column("published model"), Column("ours")], []
    for column in table.columns:
        columns.append(number(column.title, column.digits))
        columns += [number("ours", column.digits)] if column.measure else []
    for row in table.rows:
        ours = next((name for name in models if _plain(name) in row.names), None)
        line: list[Any] = [row.label, ours]
        for column, value in zip(table.columns, row.values, strict=True):
            line.append(value)
            line += [_measured(column, ours, rows, models)] if column.measure else []
        lines.append(tuple(line))
    names = "; ".join(f"{row.label}: {', '.join(row.names)}" for row in table.rows)
    note = (
        "Published: arXiv 2506.04951 (poster), trained on KonIQ-10k. Ours: this report's models, photos and labels, "
        "set beside a row by name only; other data, another backbone or another score scale make other numbers. The "
        "poster does not define its areas: ours are trapezoids over eps in [0,1] pixels, AbsGain in score points and "
        "R-Score on the baseline's range. UAP and stAdv: on the baseline's range, mean over sizes. "
        f"Names that match: {names}."
    )
    return Table(f"published-{table.key}", table.title, tuple(columns), tuple(lines), note)


def worst(per_image: Sequence[Row], models: Mapping[str, Row]) -> Table:
    """The images that were moved furthest."""
    columns = (
        Column("image"), MODEL, ATTACK, EPS, number("clean", 2), number("attacked", 2), number("gain, points", 2),
        number("gain, baseline range", 3), number("MOS", 2),
    )  # fmt: skip
    keys = (*WHICH, "clean", "attacked", "gain", "gain_baseline_range", "mos")
    lines = tuple(tuple(row.get(key) for key in keys) for row in worst_images(per_image, models))
    note = (
        "Of each model the images that any attack moved furthest, with the attack that did. On the web page the photo, "
        "where photos are given, and the middle of what the attack added, amplified around grey."
    )
    return Table("worst", "Images moved furthest", columns, lines, note)


def _plain(name: str) -> str:
    return name.lower().replace("_", "-").replace(" ", "-")


def _measured(
    column: PublishedColumn, ours: str | None, rows: Sequence[Row], models: Mapping[str, Row]
) -> float | None:
    if ours is None:
        return None
    if not column.attack:
        return models[ours].get(column.measure)
    if column.measure.startswith("area "):
        area = (models[ours].get("auc") or {}).get(column.attack, {})
        return area.get(column.measure.removeprefix("area "))
    attack = next((name for name in attack_names(rows) if name.split("-")[0] == column.attack), None)
    values = [row.get(column.measure) for row in rows if (row["model"], row["attack"]) == (ours, attack)]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
