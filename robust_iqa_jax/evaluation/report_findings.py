"""What a report's rows say: how far scores move, on which range a defence holds, Pareto front, worst photos.
Source: this project; the warning about narrowed score ranges is REFERENCE 5."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]

BOTH_WAYS = ("-opposite", "-change", "-invert")
"""Ends of the names of attacks that raise some scores and lower others: their mean gain cancels out."""


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


@dataclass(frozen=True)
class Reduction:
    """What a defence takes off the undefended baseline's effect under one attack, on two ranges.

    With c the width of the model's range of clean scores over that of the baseline's, h = c o: a copy of the baseline
    that only prints smaller numbers has o = g and h = c g, so it looks robust on the baseline's range and not on its
    own.

    Attributes:
      model, attack: names.
      range_ratio: c.
      baseline_gain: g, the effect on the baseline.
      own_gain: o, the effect on the model, on its own range.
      baseline_range_gain: h, the same on the baseline's range.
    """

    model: str
    attack: str
    range_ratio: float
    baseline_gain: float
    own_gain: float
    baseline_range_gain: float

    @property
    def share_of_reduction(self) -> float | None:
        """(o - h) / (g - h): the part of the fall on the baseline's range that the range alone gives.

        Above 1 where the model is less robust on its own range, below 0 for a range that widened, None without a fall.
        """
        fall = self.baseline_gain - self.baseline_range_gain
        return (self.own_gain - self.baseline_range_gain) / fall if fall > 0 else None

    @property
    def verdict(self) -> str:
        """Where the effect is below the baseline's."""
        if self.baseline_range_gain < self.baseline_gain:
            return "on both ranges" if self.own_gain < self.baseline_gain else "only on the baseline's range"
        return "only on its own range" if self.own_gain < self.baseline_gain else "on neither range"


def reductions(rows: Sequence[Row], models: Mapping[str, Row]) -> list[Reduction]:
    """One for every model after the first (the undefended baseline) and every one-way attack that both have."""
    found = []
    baseline, *defended = models
    for name in defended:
        for attack in attack_names(rows):
            g = effect(rows, baseline, attack, "abs_gain")
            o = effect(rows, name, attack, "abs_gain")
            h = effect(rows, name, attack)
            if g is not None and o is not None and h is not None:
                found.append(Reduction(name, attack, models[name]["clean_range_of_baseline"], g, o, h))
    return found


def reduction_sentence(reduction: Reduction) -> str:
    """A reduction in words."""
    r, share = reduction, reduction.share_of_reduction
    text = f"{r.model} under {r.attack}: the baseline's effect {r.baseline_gain:.3f} becomes {r.own_gain:.3f} on the"
    text += f" model's own range and {r.baseline_range_gain:.3f} on the baseline's; its clean scores span"
    text += f" {100 * r.range_ratio:.0f} % of the baseline's range. More robust {r.verdict}"
    if share is not None and share > 0:
        return text + f"; range compression gives {100 * share:.0f} % of the fall on the baseline's range."
    return text + "."


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


def worst_images(per_image: Sequence[Row], models: Mapping[str, Row], count: int = 5) -> list[Row]:
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
