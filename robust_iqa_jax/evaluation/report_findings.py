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

    With g the baseline's effect, o the defended model's on its own range of clean scores and h the same on the
    baseline's range, the reductions are `own` = g - o and `baseline` = g - h. As h = c o, with c the model's range over
    the baseline's (`range_ratio`), the two differ by o (1 - c): that part is owed to the range alone.

    Attributes:
      model, attack: names.
      range_ratio: c.
      undefended: g.
      own: g - o.
      baseline: g - h.
    """

    model: str
    attack: str
    range_ratio: float
    undefended: float
    own: float
    baseline: float

    @property
    def share(self) -> float | None:
        """Share of the larger reduction that is owed to the range, 1 - smaller / larger; None where neither is one.

        Above 1 where the defence helps on one range and harms on the other.
        """
        small, large = sorted((self.own, self.baseline))
        return 1 - small / large if large > 0 else None

    @property
    def verdict(self) -> str:
        """Whether the defence holds on both ranges, one, or none."""
        if self.own > 0 and self.baseline > 0:
            return "on both ranges"
        if self.baseline > 0:
            return "only on the baseline's range"
        return "only on its own range" if self.own > 0 else "on neither range"


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
                found.append(Reduction(name, attack, models[name]["clean_range_of_baseline"], g, g - o, g - h))
    return found


def reduction_sentence(reduction: Reduction) -> str:
    """A reduction in words."""
    r = reduction
    text = f"{r.model} under {r.attack}: more robust than the baseline {r.verdict}"
    text += f" (the effect {r.undefended:.3f} falls by {r.own:.3f} on its own range, by {r.baseline:.3f} on the"
    text += f" baseline's; its clean scores span {100 * r.range_ratio:.0f} % of the baseline's range)."
    if r.share is None:
        return text
    change = "range compression" if r.baseline > r.own else "a wider range"
    return text + f" {100 * r.share:.0f} % of the larger fall is {change}."


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
