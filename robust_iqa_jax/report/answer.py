"""What a report answers first: which of its models to use, how far each can be pushed, and on what evidence.
Source: this project; effects and ranges as in report.findings, comparisons as in report.comparison."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from robust_iqa_jax.metrics.accuracy import srocc
from robust_iqa_jax.metrics.bootstrap import bootstrap_interval
from robust_iqa_jax.metrics.robustness import furthest_scores
from robust_iqa_jax.report.comparison import SUITE, Comparison, against_baselines, strongest
from robust_iqa_jax.report.findings import undefended
from robust_iqa_jax.report.per_image import AttackedScores, aligned, by_case
from robust_iqa_jax.report.table import Column, Table, number
from robust_iqa_jax.report.types import GainRow, ModelFacts, ReportData
from robust_iqa_jax.wording import attack_text

SAFETY = ((0.1, "hard to push"), (0.25, "can be pushed a little"), (0.5, "easy to push"))
"""Largest worst mean gain, in ranges of the model's own clean scores -> what that is called."""
OPEN = "goes where an attacker wants"
"""Beyond all of them."""


@dataclass(frozen=True)
class Worst:
    """The attack and size that moved a model's scores furthest on average.

    Attributes:
      attack, eps: which.
      own: mean |gain| in ranges of the model's own clean scores.
      baseline: the same in ranges of its undefended baseline's.
      points: the same in score points, with its sign.
      interval: 95 % interval of `own` over the photos; None without scores of single photos.
      photos: how many were attacked, 0 where it is not known.
      srocc: of the attacked photos where each meets the attack and size that moves it furthest; None without scores of
        single photos and people's.
    """

    attack: str
    eps: float | None
    own: float
    baseline: float
    points: float
    interval: tuple[float, float] | None
    photos: int
    srocc: float | None


def worst_cases(report: ReportData) -> dict[str, Worst]:
    """Model -> its worst case over one-way attacks that know its defence, at any size; of models that were attacked.

    An attack counts by the absolute mean of its gains, so that lowering is as bad as raising.
    """
    rows: dict[str, GainRow] = {}
    counted = set(report.one_way_attacks())
    for row in report.rows:
        if row["attack"] in counted and _known(row["abs_gain"]) > _known(rows.get(row["model"], {}).get("abs_gain")):
            rows[row["model"]] = row
    cases = by_case([row for row in report.per_image if row["model"] in rows and row["attack"] in counted])
    result = {}
    for model in report.models:
        if (row := rows.get(model)) is None:
            continue
        facts, scores = report.models[model], cases.get((model, row["attack"], row["eps"]))
        interval = None
        if scores is not None and len(scores.images) > 1:
            moved = (scores.attacked - scores.clean) / (facts["clean_high"] - facts["clean_low"])
            found = bootstrap_interval(np.mean, moved * np.sign(moved.mean()), method="percentile")
            interval = found.low, found.high
        gains = (row["abs_gain"], row["abs_gain_baseline_range"])
        own, baseline = (_known(gain) for gain in gains)
        points = row["abs_gain_raw"]
        result[model] = Worst(
            row["attack"], row["eps"], own, baseline, math.nan if points is None else points, interval,
            row.get("n", 0), _worst_srocc([scores for case, scores in cases.items() if case[0] == model]),
        )  # fmt: skip
    return result


def _worst_srocc(cases: Sequence[AttackedScores]) -> float | None:
    """Of photos that each meet the attack that moves them furthest."""
    if not cases or (mos := cases[0].mos) is None or len(mos) < 2:
        return None
    first, *others = cases
    if any(set(case.images) != set(first.images) for case in others):
        return None
    furthest = furthest_scores(first.clean, first.attacked, *(aligned(first, case).attacked for case in others))
    return srocc(furthest, mos) if np.ptp(furthest) > 0 and np.ptp(mos) > 0 else None


def verdict(worst: Worst | None, facts: ModelFacts) -> str:
    """How safe a model is, in words."""
    if worst is None:
        return "not attacked"
    if _masked(facts):
        return "not known: signs of masked gradients"
    return next((words for most, words in SAFETY if worst.own <= most), OPEN)


def answer_table(report: ReportData) -> Table:
    """One row a model: how well it agrees with people, how far it can be pushed, and what that is called."""
    worst = worst_cases(report)
    columns = (
        Column("model"), Column("in words"), number("SROCC", 3), number("attacked SROCC", 3), number("worst gain", 3),
        number("from", 3), number("to", 3), number("baseline's range", 3), number("points", 1), Column("under"),
    )  # fmt: skip
    lines = []
    for model, facts in report.models.items():
        case = worst.get(model)
        numbers = (None,) * 7
        if case is not None:
            low, high = case.interval or (None, None)
            numbers = (case.srocc, case.own, low, high, case.baseline, case.points, _under(case))
        lines.append((model, verdict(case, facts), facts["srocc"], *numbers))
    levels = "; ".join(f"{words}: at most {most:g}" for most, words in SAFETY)
    note = (
        "Worst gain: the largest mean change of the scores by any attack here, raising or lowering, in ranges of the "
        f"model's own clean scores, with its 95 % interval over the photos; {levels}; beyond, it {OPEN}. Attacked "
        "SROCC: of the attacked photos, each under the attack and size that moves it furthest. "
        f"{_evidence(report, worst)}"
    )
    return Table("answer", "Which model to use", columns, tuple(lines), note)


def recommendation(report: ReportData) -> list[str]:
    """Which model to use for what, in sentences; empty where there is nothing to choose by."""
    worst = worst_cases(report)
    if not worst:
        return []
    accurate = _most_accurate(report.models)
    if len(report.models) == 1:
        (model, case), facts = next(iter(worst.items())), next(iter(report.models.values()))
        return [f"{model} {_phrase(verdict(case, facts))}: {_moved(case)}. No other model was evaluated beside it."]
    better = {model: base for model, base in shown_better(report).items() if {model, base} <= worst.keys()}
    if not better:
        instead = "" if accurate is None else f" {accurate} agrees best with people ({_srocc(report, accurate)})."
        return [
            "No model here is shown to be more robust than an undefended one on both score ranges: where anybody gains "
            f"by a high score, use none of them.{instead}"
        ]
    best = min(better, key=lambda model: worst[model].own)
    base = better[best]
    words = verdict(worst[best], report.models[best])
    advice = "none of them is safe to use; the least unsafe is" if words == OPEN else "use"
    sentences = [
        f"Where anybody gains by a high score, {advice} {best}, which {_phrase(words)}: {_moved(worst[best])}; the "
        f"undefended {base}'s, by {worst[base].own:.3f} ({_under(worst[base])})."
    ]
    if accurate not in (None, best):
        assert accurate is not None
        sentences.append(
            f"Where nobody does, {accurate} agrees best with people: {_srocc(report, accurate)}, "
            f"against {_srocc(report, best)} of {best}."
        )
    return sentences


def shown_better(report: ReportData) -> dict[str, str]:
    """Model -> its undefended baseline, of the models that are more robust under the attack that counts most, on both
    score ranges, beyond chance where scores of single photos are there; without those with signs of masked gradients.
    """
    comparisons: dict[str, list[Comparison]] = {}
    for (model, _), comparison in against_baselines(report).items():
        if report.kind(comparison.attack).blind is None:
            comparisons.setdefault(model, []).append(comparison)
    better = [model for model, of_model in comparisons.items() if _on_both_ranges(strongest(of_model))]
    return {model: undefended(report.models)[model] for model in better if not _masked(report.models[model])}


def _on_both_ranges(comparison: Comparison) -> bool:
    return comparison.own.more_robust == comparison.baseline.more_robust == "second"


def _masked(facts: ModelFacts) -> bool:
    """Whether a check found signs of masked gradients."""
    return any(finding["suspicious"] for finding in (facts.get("masking") or {}).values())


def decisive(report: ReportData) -> list[str]:
    """One-way attacks, that which counts most first: a suite, else the one that moved some model furthest."""
    worst = [(row["attack"], _known(row["abs_gain"])) for row in report.rows]
    largest = {name: max((moved for attack, moved in worst if attack == name), default=0.0) for name, _ in worst}
    attacks = report.one_way_attacks()
    first = [name for name in attacks if report.kind(name).kind == SUITE] or attacks
    if not first:
        return attacks
    head = max(first, key=lambda name: largest[name])
    return [head, *(name for name in attacks if name != head)]


def _evidence(report: ReportData, worst: Mapping[str, Worst]) -> str:
    photos = max((case.photos for case in worst.values()), default=0)
    attacks = ", ".join(report.one_way_attacks()) or "none"
    checked = [name for name, facts in report.models.items() if facts.get("masking")]
    masking = f"Checked for masked gradients: {', '.join(checked)}." if checked else "Not checked for masked gradients."
    of_photos = f" on {photos} photos" if photos else ""
    return f"Evidence: {attacks}{of_photos}. {masking}"


def _known(gain: float | None) -> float:
    """|gain|, below every other where it is not known."""
    return abs(gain) if gain is not None and math.isfinite(gain) else -1.0


def _most_accurate(models: Mapping[str, ModelFacts]) -> str | None:
    known = {name: facts["srocc"] for name, facts in models.items() if facts["srocc"] is not None}
    return max(known, key=lambda name: known[name] or 0.0) if known else None


def _srocc(report: ReportData, model: str) -> str:
    srocc = report.models[model]["srocc"]
    return "SROCC not known" if srocc is None else f"SROCC {srocc:.3f}"


def _moved(case: Worst) -> str:
    return f"at worst ({_under(case)}) its scores move by {case.own:.3f} of their own range on average"


def _under(case: Worst) -> str:
    return attack_text(case.attack, case.eps)


def _phrase(words: str) -> str:
    """A verdict as what a sentence says of a model: most are adjectives, some have a verb."""
    return words if words.startswith(("can ", "goes ")) else f"is {words}"
