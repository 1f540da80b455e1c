"""The tables of a report: accuracy, gains, areas, range compression, cost, published tables with ours, worst photos.
The headline is the gain on the undefended baseline's range; the other scalings stand beside it (docs/sources.md 5)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from robust_iqa_jax.report.comparison import Comparison, against_baselines
from robust_iqa_jax.report.findings import WHERE, WHICH, compressions, measured, undefended, worst_images
from robust_iqa_jax.report.published_tables import DATA, DEFENCES, POSITIONS, PublishedColumn, PublishedTable
from robust_iqa_jax.report.table import Column, Table, number
from robust_iqa_jax.report.types import ImageRow, ModelFacts, ReportData
from robust_iqa_jax.wording import eps_text

EPS = Column("eps", eps_text, right=True)
MODEL, ATTACK = Column("model"), Column("attack")
COST = {"parameters": 0, "train_seconds": 1, "test_seconds": 1, "test_photos": 0}
"""Facts about cost, where a model has them, and their digits."""


def tables(report: ReportData) -> list[Table]:
    """All tables that the data allow, in the order of a report; the published ones beside models of the same photos.

    Args:
      report: its first model is the undefended baseline of those whose facts name none.
    """
    models = report.models
    of_published = str(report.run.get("photos_of", "")).startswith(DATA)
    optional = (
        defended(report), transfers(report), areas(report), compression(report),
        paired(against_baselines(report), models), masking(models), cost(models),
    )  # fmt: skip
    return [
        *([accuracy(models)] if any(facts["srocc"] is not None for facts in models.values()) else []),
        gains(report),
        *(table for table in optional if table.rows),
        *(published(table, report) for table in (POSITIONS, DEFENCES) if of_published),
        *([worst(report.per_image, models)] if report.per_image else []),
    ]


def accuracy(models: Mapping[str, ModelFacts]) -> Table:
    """Correlation with opinion scores, and error."""
    measures = ("srocc", "plcc", "krocc", "rmse")
    rows = tuple((name, *values(facts, measures)) for name, facts in models.items())
    return Table("accuracy", "Accuracy", (MODEL, *(number(measure.upper()) for measure in measures)), rows)


def gains(report: ReportData) -> Table:
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
    rows = [row for row in report.rows if report.kind(row["attack"]).blind is None]
    both_ways = dict.fromkeys(row["attack"] for row in rows if not report.kind(row["attack"]).one_way)
    if both_ways:
        note += f" {', '.join(both_ways)}: raises some scores and lowers others, so that the mean says nothing."
    return Table(
        "gains",
        "Gain under attack",
        (MODEL, ATTACK, EPS, *(number(title) for title in measures.values())),
        tuple(
            (row["model"], row["attack"], row["eps"], *values(row, measures)) for row in rows
        ),
        note,
    )  # fmt: skip


def areas(report: ReportData) -> Table:
    """Areas over eps, of attacks with several sizes that were made on the model itself."""
    measures = {
        "abs_gain_baseline_range": "AbsGain, baseline range",
        "abs_gain": "AbsGain, own range",
        "abs_gain_raw": "AbsGain, points",
        "rscore": "R-Score, own range",
    }
    rows = tuple(
        (name, attack, *(area.get(measure) for measure in measures))
        for name, facts in report.models.items()
        for attack, area in (facts.get("auc") or {}).items()
        if report.kind(attack).blind is None
    )
    note = "Trapezoids over the sizes above, eps in [0,1] pixels."
    columns = (MODEL, ATTACK, *(number(title, 5) for title in measures.values()))
    return Table("areas", "Area over eps", columns, rows, note)


def defended(report: ReportData) -> Table:
    """Models behind a defence at inference, under attacks that do not know it and under attacks that do."""
    scalings = {"abs_gain_baseline_range": "baseline range", "abs_gain": "own range", "abs_gain_raw": "points"}
    columns = (
        MODEL, Column("defence of"), ATTACK, EPS, number("SROCC"),
        *(number(f"{who}, {title}") for who in ("blind", "adaptive") for title in scalings.values()),
    )  # fmt: skip
    by_case = {(row["model"], row["attack"], row["eps"]): row for row in report.rows}
    blind = {kind.blind: name for name, kind in report.attacks.items() if kind.blind and kind.source is None}
    lines = []
    for attack, name in blind.items():
        for eps in dict.fromkeys(row["eps"] for row in report.rows if row["attack"] == name):
            for model, facts in report.models.items():
                pair = [by_case.get((model, which, eps)) for which in (name, attack)]
                bare = facts.get("defends")
                if bare is None and not any(other.get("defends") == model for other in report.models.values()):
                    continue
                gains = [value for row in pair for value in values(row or {}, scalings)]
                lines.append((model, bare, attack, eps, facts["srocc"], *gains))
    note = (
        "AbsGain of attacks that were made on the model without its defence (blind), and of the same attacks made "
        "through it (adaptive, riqa evaluate --adaptive): by straight-through derivatives where it rounds, by the mean "
        "over many draws where it draws (arXiv 1802.00420, 1707.07397). What a defence is worth is what it keeps under "
        "the adaptive attack, which is the one of the other tables. A model without a defence has one attack only."
    )
    return Table("defended", "Defences at inference", columns, tuple(lines), note)


def transfers(report: ReportData) -> Table:
    """Models under attacks that were made on another model, beside the same attacks made on themselves."""
    scalings = {"abs_gain": "own range", "abs_gain_baseline_range": "baseline range"}
    columns = (
        Column("made on"), MODEL, ATTACK, EPS,
        *(number(f"{who}, {title}") for title in scalings.values() for who in ("made on the other", "on itself")),
    )  # fmt: skip
    by_case = {(row["model"], row["attack"], row["eps"]): row for row in report.rows}
    lines = []
    for (model, name, eps), row in by_case.items():
        kind = report.kind(name)
        if kind.source is not None and kind.blind is not None:
            itself = by_case.get((model, kind.blind, eps), {})
            gains = [each.get(scaling) for scaling in scalings for each in (row, itself)]
            lines.append((kind.source, model, kind.blind, eps, *gains))
    note = (
        "AbsGain of adversarial photos that were made on another model (riqa evaluate --transfer): what an attacker "
        "gets who does not know this one. A gain above that of the attack on the model itself is a sign of masked "
        "gradients (arXiv 1605.07277, 1802.00420)."
    )
    return Table(
        "transfers", "Attacks made on another model", columns, tuple(sorted(lines, key=lambda line: line[:2])), note
    )


def compression(report: ReportData) -> Table:
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
    baselines = undefended(report.models)
    lines = tuple(
        (
            model, baselines[model], attack, effects.range_ratio, effects.baseline_gain, effects.own_gain,
            effects.baseline_range_gain, effects.share_of_reduction, WHERE[effects.verdict],
        )
        for (model, attack), effects in compressions(report).items()
    )  # fmt: skip
    return Table("compression", "How much of the defence is score range", columns, lines, note)


def paired(comparisons: Mapping[tuple[str, str], Comparison], models: Mapping[str, ModelFacts]) -> Table:
    """Whether the attacked photos show a difference to the undefended model; see `comparison.against_baselines`."""
    columns = [MODEL, Column("baseline"), ATTACK, Column("photos", right=True)]
    for which in ("own range", "baseline's range"):
        columns += [number(f"{which}: difference"), number("from"), number("to"), Column("shown to be")]
    shown = {"first": "less robust", "second": "more robust", None: "neither"}
    baselines, lines = undefended(models), []
    for (model, attack), comparison in comparisons.items():
        line: list[Any] = [model, baselines[model], attack, comparison.photos]
        for effects in (comparison.own, comparison.baseline):
            if effects.interval is not None:
                line += [effects.difference, *effects.interval, shown[effects.more_robust]]
        if comparison.photos:
            lines.append(tuple(line))
    note = (
        "The model's effect minus its baseline's, below 0 where it is more robust, with 95 % intervals from bootstrap "
        "draws of the attacked photos, the same for both models. One test a line: of twenty lines without any real "
        "difference about one shows one."
    )
    return Table("paired", "Is the difference more than chance", tuple(columns), tuple(lines), note)


def masking(models: Mapping[str, ModelFacts]) -> Table:
    """What the checks for masked gradients found, of the models that were checked (riqa evaluate --masking)."""
    rows = tuple(
        (name, check, "yes" if finding["suspicious"] else "no", finding["value"], finding["limit"], finding["meaning"])
        for name, facts in models.items()
        for check, finding in (facts.get("masking") or {}).items()
    )
    columns = (
        MODEL, Column("check"), Column("suspicious"), number("value"), number("limit"), Column("value against limit"),
    )  # fmt: skip
    note = "Where a check is suspicious, small gains may show hidden gradients and not robustness (arXiv 1802.00420)."
    return Table("masking", "Signs of masked gradients", columns, rows, note)


def cost(models: Mapping[str, ModelFacts]) -> Table:
    """Parameters and seconds, of the models that have any."""
    known = [measure for measure in COST if any(facts.get(measure) is not None for facts in models.values())]
    columns = (MODEL, *(number(measure.replace("_", " "), COST[measure]) for measure in known))
    rows = tuple((name, *values(facts, known)) for name, facts in models.items() if known)
    note = (
        "Training as the run recorded it; testing scores all photos, with decoding and compilation. Seconds of one "
        "machine, to be compared within this table only."
    )
    return Table("cost", "Cost", columns, rows, note)


def published(table: PublishedTable, report: ReportData) -> Table:
    """A published table with a report's numbers beside it, where a model has one of the names of a row."""
    columns, lines = [Column("published model"), Column("ours")], []
    for column in table.columns:
        columns.append(number(column.title, column.digits))
        columns += [number("ours", column.digits)] if column.measure else []
    for row in table.rows:
        ours = next((name for name in report.models if _plain(name) in row.names), None)
        line: list[Any] = [row.label, ours]
        for column, value in zip(table.columns, row.values, strict=True):
            line.append(value)
            line += [_same_measure(column, ours, report)] if column.measure else []
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


def worst(per_image: Sequence[ImageRow], models: Mapping[str, ModelFacts]) -> Table:
    """The images that were moved furthest."""
    columns = (
        Column("image"), MODEL, ATTACK, EPS, number("clean", 2), number("attacked", 2), number("gain, points", 2),
        number("gain, baseline range", 3), number("MOS", 2),
    )  # fmt: skip
    keys = (*WHICH, "clean", "attacked", "gain", "gain_baseline_range", "mos")
    lines = tuple(values(row, keys) for row in worst_images(per_image, models))
    note = (
        "Of each model the images that any attack moved furthest, with the attack that did. On the web page the photo, "
        "where photos are given, and the middle of what the attack added, amplified around grey."
    )
    return Table("worst", "Images moved furthest", columns, lines, note)


def values(row: Mapping[str, Any], names: Iterable[str]) -> tuple[Any, ...]:
    """Values of a row or of a model's facts by name; None where it has none."""
    return tuple(row.get(name) for name in names)


def _plain(name: str) -> str:
    return name.lower().replace("_", "-").replace(" ", "-")


def _same_measure(column: PublishedColumn, model: str | None, report: ReportData) -> float | None:
    """What a report has of a published measure; a mean over sizes where it is of a kind of attack."""
    if model is None:
        return None
    facts = report.models[model]
    if column.area_under:
        return (facts.get("auc") or {}).get(column.area_under, {}).get(column.measure)
    if not column.kind:
        (value,) = values(facts, [column.measure])
        return value
    attack = next((name for name in report.one_way_attacks() if report.kind(name).kind == column.kind), None)
    known = [value for value in measured(report.rows, model, attack, column.measure) if value is not None]
    return sum(known) / len(known) if known else None
