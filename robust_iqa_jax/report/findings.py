"""What a report's rows say: how far scores move, on which range a defence holds, Pareto front, worst photos.
Source: this project; the warning about narrowed score ranges stands in docs/sources.md 5."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

from robust_iqa_jax.evaluation.pictures import COUNT
from robust_iqa_jax.labels import label_note
from robust_iqa_jax.metrics.range_compression import RangeCompression, Verdict
from robust_iqa_jax.report.types import GainRow, ImageRow, ModelFacts, MovedImage, ReportData

WHICH = ("image", "model", "attack", "eps")
"""What tells rows of single images apart."""

WHERE: dict[Verdict, str] = {
    "survives": "on both ranges",
    "range compression": "only on the baseline's range",
    "range widening": "only on its own range",
    "no reduction": "on neither range",
}
"""Where a defended model is more robust than the baseline."""


def effect(rows: Sequence[GainRow], model: str, attack: str, measure: str = "abs_gain_baseline_range") -> float | None:
    """Mean of |AbsGain| over the attack sizes, 0 for a perfect defence; None without a finite row.

    The absolute value is taken at every size: an attack may lower scores on purpose, and one that misses its aim at a
    large size must not cancel what it did at a small one.
    """
    gains = measured(rows, model, attack, measure)
    known = [abs(gain) for gain in gains if gain is not None and math.isfinite(gain)]
    return sum(known) / len(known) if known else None


def measured(rows: Sequence[GainRow], model: str, attack: str | None, measure: str) -> list[float | None]:
    """A measure of one model under one attack at every size; None where a row has none."""
    of_both = (row for row in rows if (row["model"], row["attack"]) == (model, attack))
    return [cast(Mapping[str, Any], row).get(measure) for row in of_both]


def undefended(models: Mapping[str, ModelFacts]) -> dict[str, str]:
    """Model -> its undefended baseline: the one that its facts name, or else the first model."""
    first = next(iter(models))
    return {name: facts.get("baseline") or first for name, facts in models.items()}


def compressions(report: ReportData) -> dict[tuple[str, str], RangeCompression]:
    """(Model, attack) -> its effects beside its baseline's.

    Of every model that is not its own undefended baseline, and every one-way attack that both have. The gains of the
    result are effects: means of |AbsGain| over sizes.
    """
    rows, result = report.rows, {}
    for model, baseline in undefended(report.models).items():
        for attack in report.one_way_attacks() if model != baseline else ():
            of_baseline = effect(rows, baseline, attack, "abs_gain")
            own = effect(rows, model, attack, "abs_gain")
            on_baseline_range = effect(rows, model, attack)
            if of_baseline is not None and own is not None and on_baseline_range is not None:
                ratio = report.models[model]["clean_range_of_baseline"]
                result[model, attack] = RangeCompression(ratio, of_baseline, own, on_baseline_range)
    return result


def verdicts(report: ReportData, chance: Mapping[tuple[str, str], str] | None = None) -> list[str]:
    """What every defence is worth under every attack, a paragraph each.

    Args:
      report: rows and models.
      chance: (model, attack) -> what to add about how sure this is (comparison.by_chance).
    """
    baselines = undefended(report.models)
    several = len(set(baselines.values())) > 1
    return [
        _verdict(model, attack, f"{baselines[model]}'s" if several else "the baseline's", effects, (chance or {}))
        for (model, attack), effects in compressions(report).items()
    ]


def _verdict(
    model: str, attack: str, whose: str, effects: RangeCompression, chance: Mapping[tuple[str, str], str]
) -> str:
    unsure, share = chance.get((model, attack), ""), effects.share_of_reduction
    compression = ""
    if share is not None and share > 0:
        compression = f"; range compression gives {100 * share:.0f} % of the fall on the baseline's range"
    sentences = (
        f"{model} under {attack}: {whose} effect {effects.baseline_gain:.3f} becomes {effects.own_gain:.3f} on the "
        f"model's own range and {effects.baseline_range_gain:.3f} on the baseline's; its clean scores span "
        f"{100 * effects.range_ratio:.0f} % of the baseline's range.",
        f"{'Moved less' if unsure else 'More robust'} {WHERE[effects.verdict]}{compression}.",
        unsure,
    )
    return " ".join(filter(None, sentences))


def label_notes(models: Mapping[str, ModelFacts], run: Mapping[str, Any]) -> list[str]:
    """What is to be known of the scores before any number: that no people gave the labels, where none did.

    Args:
      models: their facts "label" say what they were trained on.
      run: its "labels" are those that they are measured with.
    """
    labels = dict.fromkeys((str(run.get("labels", "")), *(str(facts.get("label", "")) for facts in models.values())))
    return [note for label in labels if (note := label_note(label))]


def pareto_front(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """Names that no other point dominates, by rising accuracy.

    Args:
      points: name -> (accuracy, higher is better; effect, lower is better).
    """

    def dominated(a: float, e: float) -> bool:
        return any(a2 >= a and e2 <= e and (a2, e2) != (a, e) for a2, e2 in points.values())

    return sorted((name for name, point in points.items() if not dominated(*point)), key=lambda name: points[name])


def tradeoff_points(
    rows: Sequence[GainRow], models: Mapping[str, ModelFacts], attack: str
) -> dict[str, tuple[float, float]]:
    """Model -> (SROCC, effect on the baseline's range), of the models that have both."""
    points = {}
    for name, facts in models.items():
        moved = effect(rows, name, attack)
        accuracy = facts.get("srocc")
        if accuracy is not None and moved is not None:
            points[name] = accuracy, moved
    return points


def baseline_range(facts: ModelFacts) -> float:
    """Width of the undefended baseline's range of clean scores, in score points."""
    return (facts["clean_high"] - facts["clean_low"]) / facts["clean_range_of_baseline"]


def worst_images(
    per_image: Sequence[ImageRow], models: Mapping[str, ModelFacts], count: int = COUNT
) -> list[MovedImage]:
    """The images of each model that an attack moved furthest, each once, with what moved it: `count` a model.

    Returns:
      per-image rows with "gain" (points) and "gain_baseline_range" added.
    """
    result = []
    for name, facts in models.items():
        furthest: dict[str, MovedImage] = {}
        for row in per_image:
            if row["model"] != name or not math.isfinite(row["attacked"] - row["clean"]):
                continue
            gain = row["attacked"] - row["clean"]
            if row["image"] not in furthest or abs(gain) > abs(furthest[row["image"]]["gain"]):
                scaled = gain / baseline_range(facts)
                furthest[row["image"]] = {**row, "gain": gain, "gain_baseline_range": scaled}
        result += sorted(furthest.values(), key=lambda row: -abs(row["gain"]))[:count]
    return result
