"""What a report's rows say: how far scores move, on which range a defence holds, Pareto front, worst photos.
Source: this project; the warning about narrowed score ranges stands in docs/sources.md 5."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from robust_iqa_jax.evaluation.pictures import COUNT
from robust_iqa_jax.labels import label_note
from robust_iqa_jax.metrics.range_compression import RangeCompression, Verdict

Row = dict[str, Any]

BOTH_WAYS = ("-opposite", "-change", "-invert")
"""Ends of the names of attacks that raise some scores and lower others: their mean gain cancels out."""

WHICH = ("image", "model", "attack", "eps")
"""What tells rows of single images apart."""

WHERE: dict[Verdict, str] = {
    "survives": "on both ranges",
    "range compression": "only on the baseline's range",
    "range widening": "only on its own range",
    "no reduction": "on neither range",
}
"""Where a defended model is more robust than the baseline."""


def one_way(attack: str) -> bool:
    """Whether an attack pushes all scores the same way, so that its mean gain says how far they move."""
    return not attack.endswith(BOTH_WAYS)


def effect(rows: Sequence[Row], model: str, attack: str, measure: str = "abs_gain_baseline_range") -> float | None:
    """Mean of |AbsGain| over the attack sizes, 0 for a perfect defence; None without a finite row.

    The absolute value is taken at every size: an attack may lower scores on purpose, and one that misses its aim at a
    large size must not cancel what it did at a small one.
    """
    gains = [row.get(measure) for row in rows if (row["model"], row["attack"]) == (model, attack)]
    known = [abs(gain) for gain in gains if gain is not None and math.isfinite(gain)]
    return sum(known) / len(known) if known else None


def attack_names(rows: Sequence[Row]) -> list[str]:
    """Attacks that push scores one way, in the order of the rows."""
    return [attack for attack in dict.fromkeys(row["attack"] for row in rows) if one_way(attack)]


def undefended(models: Mapping[str, Row]) -> dict[str, str]:
    """Model -> its undefended baseline: the one that its facts name, or else the first model."""
    first = next(iter(models))
    return {name: facts.get("baseline") or first for name, facts in models.items()}


def compressions(rows: Sequence[Row], models: Mapping[str, Row]) -> dict[tuple[str, str], RangeCompression]:
    """(Model, attack) -> its effects beside its baseline's.

    Of every model that is not its own undefended baseline, and every one-way attack that both have. The gains of the
    result are effects: means of |AbsGain| over sizes.
    """
    found = {}
    for name, baseline in undefended(models).items():
        for attack in attack_names(rows) if name != baseline else ():
            g = effect(rows, baseline, attack, "abs_gain")
            o = effect(rows, name, attack, "abs_gain")
            h = effect(rows, name, attack)
            if g is not None and o is not None and h is not None:
                found[name, attack] = RangeCompression(models[name]["clean_range_of_baseline"], g, o, h)
    return found


def verdicts(
    rows: Sequence[Row], models: Mapping[str, Row], chance: Mapping[tuple[str, str], str] | None = None
) -> list[str]:
    """What every defence is worth under every attack, a paragraph each.

    Args:
      rows, models: of a report.
      chance: (model, attack) -> what to add about how sure this is (comparison.by_chance).
    """
    sentences = []
    baselines = undefended(models)
    several = len(set(baselines.values())) > 1
    for (model, attack), found in compressions(rows, models).items():
        share = found.share_of_reduction
        whose = f"{baselines[model]}'s" if several else "the baseline's"
        text = f"{model} under {attack}: {whose} effect {found.baseline_gain:.3f} becomes {found.own_gain:.3f}"
        text += f" on the model's own range and {found.baseline_range_gain:.3f} on the baseline's; its clean scores"
        text += f" span {100 * found.range_ratio:.0f} % of the baseline's range. "
        unsure = (chance or {}).get((model, attack))
        text += f"{'Moved less' if unsure else 'More robust'} {WHERE[found.verdict]}"
        if share is not None and share > 0:
            text += f"; range compression gives {100 * share:.0f} % of the fall on the baseline's range"
        sentences.append(" ".join(filter(None, (f"{text}.", unsure))))
    return sentences


def label_notes(models: Mapping[str, Row], run: Mapping[str, Any]) -> list[str]:
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


def tradeoff_points(rows: Sequence[Row], models: Mapping[str, Row], attack: str) -> dict[str, tuple[float, float]]:
    """Model -> (SROCC, effect on the baseline's range), of the models that have both."""
    points = {}
    for name, facts in models.items():
        moved = effect(rows, name, attack)
        if facts.get("srocc") is not None and moved is not None:
            points[name] = facts["srocc"], moved
    return points


def baseline_range(facts: Row) -> float:
    """Width of the undefended baseline's range of clean scores, in score points."""
    return (facts["clean_high"] - facts["clean_low"]) / facts["clean_range_of_baseline"]


def worst_images(per_image: Sequence[Row], models: Mapping[str, Row], count: int = COUNT) -> list[Row]:
    """The images of each model that an attack moved furthest, each once, with what moved it: `count` a model.

    Returns:
      per-image rows with "gain" (points) and "gain_baseline_range" added.
    """
    result = []
    for name, facts in models.items():
        furthest: dict[str, Row] = {}
        for row in per_image:
            if row["model"] != name or not math.isfinite(row["attacked"] - row["clean"]):
                continue
            gain = row["attacked"] - row["clean"]
            if row["image"] not in furthest or abs(gain) > abs(furthest[row["image"]]["gain"]):
                scaled = gain / baseline_range(facts)
                furthest[row["image"]] = {**row, "gain": gain, "gain_baseline_range": scaled}
        result += sorted(furthest.values(), key=lambda row: -abs(row["gain"]))[:count]
    return result
