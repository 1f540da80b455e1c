"""Which of two evaluated models is more robust, and on which score range; from rows and per-image scores.
Source: this project; effects and ranges as in report.findings, intervals by bootstrap.paired_bootstrap_test."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from robust_iqa_jax.evaluation.evaluate import Report
from robust_iqa_jax.metrics.bootstrap import paired_bootstrap_test
from robust_iqa_jax.metrics.robustness import RAW, gains
from robust_iqa_jax.metrics.scores import Scores
from robust_iqa_jax.report.findings import attack_names, baseline_range, undefended, verdicts
from robust_iqa_jax.report.per_image import AttackedScores, Case, aligned, by_case
from robust_iqa_jax.wording import eps_text

Row = dict[str, Any]
Pair = tuple[float, float]


@dataclass(frozen=True)
class Contender:
    """One model of one report, and what it is called beside the other."""

    report: Report
    model: str
    name: str

    @property
    def facts(self) -> Row:
        """Of the model."""
        return self.report.models[self.model]

    @cached_property
    def cases(self) -> dict[Case, AttackedScores]:
        """Scores of single images."""
        return by_case([row for row in self.report.per_image if row["model"] == self.model])

    def gains(self, attack: str) -> dict[float | None, float]:
        """Size -> AbsGain in score points."""
        rows = [row for row in self.report.rows if (row["model"], row["attack"]) == (self.model, attack)]
        return {row["eps"]: row["abs_gain_raw"] for row in rows if row["abs_gain_raw"] is not None}


@dataclass(frozen=True)
class Duel:
    """Two models under one attack.

    Attributes:
      attack: name.
      sizes: attack sizes that both were attacked with.
      own: effects (mean |AbsGain| over the sizes) of both on their own ranges.
      baseline: the same on one range, that of the first model's undefended baseline.
      intervals: 95 % intervals of the second's effect minus the first's over the photos, on both ranges; None unless
        both have finite scores of the same photos, two or more.
      photos: how many those are.
    """

    attack: str
    sizes: tuple[float | None, ...]
    own: Pair
    baseline: Pair
    intervals: tuple[Pair, Pair] | None
    photos: int

    def winner(self, which: int) -> int | None:
        """0 or 1, the more robust on the own (0) or the baseline's range (1); None where the photos leave it open."""
        if self.intervals is not None and self.intervals[which][0] <= 0 <= self.intervals[which][1]:
            return None
        first, second = (self.own, self.baseline)[which]
        return None if first == second else int(second < first)


def duels(a: Contender, b: Contender) -> list[Duel]:
    """One for each attack and the sizes that both models have; none where they have none in common."""
    common = baseline_range(a.facts)
    own = [c.facts["clean_high"] - c.facts["clean_low"] for c in (a, b)]
    found = []
    for attack in attack_names(a.report.rows):
        both = a.gains(attack), b.gains(attack)
        sizes = tuple(eps for eps in both[0] if eps in both[1])
        if not sizes:
            continue
        points = [float(np.mean([abs(g[eps]) for eps in sizes])) for g in both]
        images = _image_effects(a, b, attack, sizes)
        found.append(
            Duel(
                attack,
                sizes,
                (points[0] / own[0], points[1] / own[1]),
                (points[0] / common, points[1] / common),
                None if images is None else (_interval(images, own), _interval(images, [common, common])),
                0 if images is None else len(images[0]),
            )
        )
    return found


def against_baselines(report: Report) -> dict[tuple[str, str], Duel]:
    """(Model, attack) -> the model, second, against its undefended baseline, first; of models that have another one."""
    contenders = {name: Contender(report, name, name) for name in report.models}
    return {
        (name, duel.attack): duel
        for name, baseline in undefended(report.models).items()
        if name != baseline
        for duel in duels(contenders[baseline], contenders[name])
    }


def by_chance(duel: Duel) -> str:
    """A sentence where the photos do not show a difference; empty where they do, or where nothing is known of them."""
    ranges = [name for which, name in enumerate(("its own", "the baseline's")) if duel.winner(which) is None]
    if duel.intervals is None or not ranges:
        return ""
    where = "either" if len(ranges) == 2 else ranges[0]
    return f"On {where} range the difference may be chance: the {duel.photos} photos leave it open (95 %)."


def worth(report: Report) -> list[str]:
    """What every defence is worth under every attack, and whether the photos are enough to say so."""
    chance = {case: by_chance(duel) for case, duel in against_baselines(report).items()}
    return verdicts(report.rows, report.models, chance)


def strongest(fought: Sequence[Duel]) -> Duel:
    """The duel that counts most: under the attack suite where both have it, else the attack with the largest effect."""
    suites = [duel for duel in fought if duel.attack.startswith("suite")]
    return max(suites or fought, key=lambda duel: max(duel.baseline))


def paragraph(a: Contender, b: Contender, fought: Sequence[Duel]) -> str:
    """The comparison in words."""
    names = a.name, b.name
    duel = strongest(fought)
    own, baseline = duel.winner(0), duel.winner(1)
    sizes = ", ".join("no size" if eps is None else eps_text(eps) for eps in duel.sizes)
    suite = "" if duel.attack.startswith("suite") else "; an attack suite is not in both"
    text = [f"Under {duel.attack} (the strongest attack that both met{suite}; eps {sizes}):"]
    if own is None:
        text.append("on their own score ranges neither model is shown to be more robust")
    else:
        text.append(f"{names[own]} is more robust on the models' own score ranges")
    text[-1] += f" ({names[0]} {duel.own[0]:.3f}, {names[1]} {duel.own[1]:.3f}{_difference(duel, 0)});"
    numbers = f"({duel.baseline[0]:.3f} against {duel.baseline[1]:.3f}{_difference(duel, 1)})."
    scale = f"on one range, that of {next(iter(a.report.models))},"
    if baseline is None:
        text.append(f"{scale} neither is {numbers}")
    elif own is None:
        text.append(f"{scale} {names[baseline]} is {numbers}")
    else:
        text.append(f"{scale} this {'survives' if own == baseline else 'turns round'} {numbers}")
    ratio = (b.facts["clean_high"] - b.facts["clean_low"]) / (a.facts["clean_high"] - a.facts["clean_low"])
    text.append(f"The clean scores of {names[1]} span {100 * ratio:.0f} % of the range of those of {names[0]}.")
    if duel.intervals is None:
        text.append("The reports do not hold scores of the same photos, so there is no interval.")
    counts = [sum(d.winner(0) == m and d.winner(1) == m for d in fought) for m in (0, 1)]
    both = f"{names[0]} under {counts[0]}, {names[1]} under {counts[1]} of {len(fought)} attacks"
    text.append(f"More robust on both ranges: {both}.")
    accuracies = [c.facts.get("srocc") for c in (a, b)]
    if None not in accuracies:
        text.append(f"SROCC {accuracies[0]:.3f} against {accuracies[1]:.3f}.")
    if not (a.facts.get("masking") or b.facts.get("masking")):
        return " ".join([*text, "The reports hold no checks for masked gradients."])
    return " ".join([*text, *(masking_sentence(c) for c in (a, b))])


def masking_sentence(contender: Contender) -> str:
    """What the checks for masked gradients (attacks.masking) found, if the report has them under "masking"."""
    checks = contender.facts.get("masking")
    if not checks:
        return f"{contender.name}: no checks for masked gradients in the report."
    suspicious = [name for name, finding in checks.items() if finding["suspicious"]]
    if not suspicious:
        return f"{contender.name}: {len(checks)} checks for masked gradients found nothing."
    return f"{contender.name}: signs of masked gradients ({', '.join(suspicious)}), its gains may say too little."


def _image_effects(
    a: Contender, b: Contender, attack: str, sizes: Sequence[float | None]
) -> tuple[Scores, Scores] | None:
    """Per-image gains in points, each size with the sign of its mean, averaged: over the images that is the effect.

    None unless both have finite scores of the same images, two or more, at every size.
    """
    effects: tuple[list[Scores], list[Scores]] = [], []
    for eps in sizes:
        first, second = (c.cases.get((c.model, attack, eps)) for c in (a, b))
        if first is None or second is None or len(first.images) < 2 or set(first.images) != set(second.images):
            return None
        for scores, found in zip((first, aligned(first, second)), effects, strict=True):
            if not np.isfinite([scores.clean, scores.attacked]).all():
                return None
            gain = gains(scores.clean, scores.attacked, RAW)
            found.append(np.sign(gain.mean()) * gain)
    return np.mean(effects[0], axis=0), np.mean(effects[1], axis=0)


def _interval(images: tuple[Scores, Scores], ranges: Sequence[float]) -> Pair:
    difference = paired_bootstrap_test(images[1] / ranges[1], images[0] / ranges[0], method="percentile").difference
    return difference.low, difference.high


def _difference(duel: Duel, which: int) -> str:
    if duel.intervals is None:
        return ""
    low, high = duel.intervals[which]
    return f"; difference {low:+.3f} to {high:+.3f} with 95 % confidence over {duel.photos} photos"
