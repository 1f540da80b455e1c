"""Which of two evaluated models is more robust, and on which score range; from rows and per-image scores.
Source: this project; effects and ranges as in report.findings, intervals by bootstrap.paired_bootstrap_test."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from robust_iqa_jax.metrics.bootstrap import paired_bootstrap_test
from robust_iqa_jax.metrics.robustness import RAW, gains
from robust_iqa_jax.metrics.scores import Scores
from robust_iqa_jax.report.findings import baseline_range, undefended, verdicts
from robust_iqa_jax.report.per_image import AttackedScores, Case, aligned, by_case
from robust_iqa_jax.report.types import ModelFacts, ReportData
from robust_iqa_jax.wording import eps_text

SUITE = "AttackSuite"
"""Kind of the attack that counts most, see `strongest`."""


@dataclass(frozen=True)
class EvaluatedModel:
    """One model of one report, and what it is called beside the other."""

    report: ReportData
    model: str
    name: str

    @property
    def facts(self) -> ModelFacts:
        """Of the model."""
        return self.report.models[self.model]

    @property
    def clean_range(self) -> float:
        """Width of its range of clean scores, in points."""
        return self.facts["clean_high"] - self.facts["clean_low"]

    @cached_property
    def cases(self) -> dict[Case, AttackedScores]:
        """Scores of single images."""
        return by_case([row for row in self.report.per_image if row["model"] == self.model])

    def gains(self, attack: str) -> dict[float | None, float]:
        """Size -> AbsGain in score points."""
        rows = [row for row in self.report.rows if (row["model"], row["attack"]) == (self.model, attack)]
        return {row["eps"]: row["abs_gain_raw"] for row in rows if row["abs_gain_raw"] is not None}


@dataclass(frozen=True)
class Effects:
    """Effects (mean |AbsGain| over the sizes) of two models on one range each, or on one for both.

    Attributes:
      first, second: of the two models.
      interval: 95 % interval of the second minus the first over the photos, None without per-image scores of both.
    """

    first: float
    second: float
    interval: tuple[float, float] | None

    @property
    def difference(self) -> float:
        """Second minus first, below 0 where the second is more robust."""
        return self.second - self.first

    @property
    def more_robust(self) -> Literal["first", "second"] | None:
        """Which model; None where the photos leave it open, or the effects are equal."""
        if self.difference == 0 or (self.interval is not None and self.interval[0] <= 0 <= self.interval[1]):
            return None
        return "second" if self.difference < 0 else "first"


@dataclass(frozen=True)
class Comparison:
    """Two models under one attack.

    Attributes:
      attack: name.
      kind: name of its class.
      sizes: attack sizes that both were attacked with.
      own: effects of both on their own ranges.
      baseline: on one range, that of the first model's undefended baseline.
      photos: how many the intervals are over, 0 without intervals.
    """

    attack: str
    kind: str
    sizes: tuple[float | None, ...]
    own: Effects
    baseline: Effects
    photos: int

    def as_json(self) -> dict[str, Any]:
        """What `riqa compare --json` prints."""
        both = (self.own, self.baseline)
        return {
            "attack": self.attack,
            "sizes": self.sizes,
            "own": (self.own.first, self.own.second),
            "baseline": (self.baseline.first, self.baseline.second),
            "intervals": [effects.interval for effects in both] if self.photos else None,
            "photos": self.photos,
        }


def compare(first: EvaluatedModel, second: EvaluatedModel) -> list[Comparison]:
    """One for each attack and the sizes that both models have; none where they have none in common."""
    own_ranges = first.clean_range, second.clean_range
    common = baseline_range(first.facts)
    result = []
    for attack in first.report.one_way_attacks():
        both = first.gains(attack), second.gains(attack)
        sizes = tuple(eps for eps in both[0] if eps in both[1])
        if not sizes:
            continue
        points = [float(np.mean([abs(of_model[eps]) for eps in sizes])) for of_model in both]
        images = _image_effects(first, second, attack, sizes)
        own, baseline = (
            Effects(
                points[0] / ranges[0],
                points[1] / ranges[1],
                None if images is None else _interval(images[0] / ranges[0], images[1] / ranges[1]),
            )
            for ranges in (own_ranges, (common, common))
        )
        photos = 0 if images is None else len(images[0])
        result.append(Comparison(attack, first.report.kind(attack).kind, sizes, own, baseline, photos))
    return result


def against_baselines(report: ReportData) -> dict[tuple[str, str], Comparison]:
    """(Model, attack) -> the model, second, against its undefended baseline, first; of models that have another one."""
    models = {name: EvaluatedModel(report, name, name) for name in report.models}
    return {
        (name, comparison.attack): comparison
        for name, baseline in undefended(report.models).items()
        if name != baseline
        for comparison in compare(models[baseline], models[name])
    }


def by_chance(comparison: Comparison) -> str:
    """A sentence where the photos do not show a difference; empty where they do, or where nothing is known of them."""
    ranges = {"its own": comparison.own, "the baseline's": comparison.baseline}
    unsure = [name for name, effects in ranges.items() if effects.more_robust is None]
    if not comparison.photos or not unsure:
        return ""
    where = "either" if len(unsure) == 2 else unsure[0]
    return f"On {where} range the difference may be chance: the {comparison.photos} photos leave it open (95 %)."


def worth(report: ReportData) -> list[str]:
    """What every defence is worth under every attack, and whether the photos are enough to say so."""
    return verdicts(report, {case: by_chance(comparison) for case, comparison in against_baselines(report).items()})


def strongest(comparisons: Sequence[Comparison]) -> Comparison:
    """The one that counts most: under the attack suite where both have it, else the attack with the largest effect."""
    suites = [comparison for comparison in comparisons if comparison.kind == SUITE]
    return max(suites or comparisons, key=lambda comparison: max(comparison.baseline.first, comparison.baseline.second))


def paragraph(first: EvaluatedModel, second: EvaluatedModel, comparisons: Sequence[Comparison]) -> str:
    """The comparison in words."""
    strong = strongest(comparisons)
    sizes = ", ".join("no size" if eps is None else eps_text(eps) for eps in strong.sizes)
    suite = "" if strong.kind == SUITE else "; an attack suite is not in both"
    sentences = [
        f"Under {strong.attack} (the strongest attack that both met{suite}; eps {sizes}):",
        f"{_on_own_ranges(first, second, strong)};",
        f"{_on_one_range(first, second, strong)}.",
        f"The clean scores of {second.name} span {100 * second.clean_range / first.clean_range:.0f} % of the range of "
        f"those of {first.name}.",
    ]
    if not strong.photos:
        sentences.append("The reports do not hold scores of the same photos, so there is no interval.")
    sentences.append(f"More robust on both ranges: {_on_both_ranges(first, second, comparisons)}.")
    accuracies = first.facts.get("srocc"), second.facts.get("srocc")
    if accuracies[0] is not None and accuracies[1] is not None:
        sentences.append(f"SROCC {accuracies[0]:.3f} against {accuracies[1]:.3f}.")
    if first.facts.get("masking") or second.facts.get("masking"):
        sentences += [masking_sentence(first), masking_sentence(second)]
    else:
        sentences.append("The reports hold no checks for masked gradients.")
    return " ".join(sentences)


def masking_sentence(model: EvaluatedModel) -> str:
    """What the checks for masked gradients found, if the report has them under "masking"."""
    checks = model.facts.get("masking")
    if not checks:
        return f"{model.name}: no checks for masked gradients in the report."
    suspicious = [name for name, finding in checks.items() if finding["suspicious"]]
    if not suspicious:
        return f"{model.name}: {len(checks)} checks for masked gradients found nothing."
    return f"{model.name}: signs of masked gradients ({', '.join(suspicious)}), its gains may say too little."


def _on_own_ranges(first: EvaluatedModel, second: EvaluatedModel, comparison: Comparison) -> str:
    own = comparison.own
    numbers = f"({first.name} {own.first:.3f}, {second.name} {own.second:.3f}{_difference(own, comparison.photos)})"
    if own.more_robust is None:
        return f"on their own score ranges neither model is shown to be more robust {numbers}"
    winner = first.name if own.more_robust == "first" else second.name
    return f"{winner} is more robust on the models' own score ranges {numbers}"


def _on_one_range(first: EvaluatedModel, second: EvaluatedModel, comparison: Comparison) -> str:
    own, baseline = comparison.own.more_robust, comparison.baseline
    if baseline.more_robust is None:
        verdict = "neither is"
    elif own is None:
        verdict = f"{first.name if baseline.more_robust == 'first' else second.name} is"
    else:
        verdict = "this survives" if own == baseline.more_robust else "this turns round"
    numbers = f"{baseline.first:.3f} against {baseline.second:.3f}{_difference(baseline, comparison.photos)}"
    return f"on one range, that of {next(iter(first.report.models))}, {verdict} ({numbers})"


def _on_both_ranges(first: EvaluatedModel, second: EvaluatedModel, comparisons: Sequence[Comparison]) -> str:
    counts = {
        which: sum(c.own.more_robust == c.baseline.more_robust == which for c in comparisons)
        for which in ("first", "second")
    }
    return f"{first.name} under {counts['first']}, {second.name} under {counts['second']} of {len(comparisons)} attacks"


def _image_effects(
    first: EvaluatedModel, second: EvaluatedModel, attack: str, sizes: Sequence[float | None]
) -> tuple[Scores, Scores] | None:
    """Per-image gains in points, each size with the sign of its mean, averaged: over the images that is the effect.

    None unless both have finite scores of the same images, two or more, at every size.
    """
    of_first, of_second = [], []
    for eps in sizes:
        a, b = (model.cases.get((model.model, attack, eps)) for model in (first, second))
        if a is None or b is None or len(a.images) < 2 or set(a.images) != set(b.images):
            return None
        for scores, effects in ((a, of_first), (aligned(a, b), of_second)):
            if not np.isfinite([scores.clean, scores.attacked]).all():
                return None
            gain = gains(scores.clean, scores.attacked, RAW)
            effects.append(np.sign(gain.mean()) * gain)
    return np.mean(of_first, axis=0), np.mean(of_second, axis=0)


def _interval(first: Scores, second: Scores) -> tuple[float, float]:
    difference = paired_bootstrap_test(second, first, method="percentile").difference
    return difference.low, difference.high


def _difference(effects: Effects, photos: int) -> str:
    if effects.interval is None:
        return ""
    low, high = effects.interval
    return f"; difference {low:+.3f} to {high:+.3f} with 95 % confidence over {photos} photos"
