"""From per-image scores to a report: gains on the model's own range, on the undefended baseline's and in score points.
The measures are those of `metrics` (docs/sources.md 5)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np

from robust_iqa_jax.metrics import accuracy
from robust_iqa_jax.metrics.on_scales import on_scales
from robust_iqa_jax.metrics.ranks import robust_srocc
from robust_iqa_jax.metrics.robustness import AreaOverEps, Scale, auc_over_eps
from robust_iqa_jax.metrics.scores import Scores
from robust_iqa_jax.report.files import Report
from robust_iqa_jax.report.per_image import aligned, by_case
from robust_iqa_jax.report.types import AttackKind, GainRow, ImageRow, ModelFacts, ReportData

GAINS = ("abs_gain", "abs_gain_baseline_range", "abs_gain_raw", "rscore", "rscore_baseline_range")
"""Measures of a row that are integrated over eps."""


def summarise(
    model: str,
    clean: Scores,
    attacked: Mapping[tuple[str, float | None], Scores],
    names: Sequence[str],
    *,
    mos: Scores | None = None,
    baseline: Scores | None = None,
    accuracy_pair: tuple[Scores, Scores] | None = None,
    attacks: Mapping[str, AttackKind] | None = None,
) -> Report:
    """The report of one model's per-image scores, from wherever they come.

    Args:
      model: name.
      clean: (n,) scores of the clean images.
      attacked: (attack name, eps) -> (n,) scores under attack; eps is None for an attack without a ball.
      names: (n,) names of the images.
      mos: (n,) opinion scores.
      baseline: clean scores of the undefended model, whose range scales the headline; None: the model's own.
      accuracy_pair: (predictions, mos) that accuracy and the model's own range come from, where these are of more
        images than were attacked.
      attacks: name -> kind, of attacks that are at hand.
    """
    own = Scale.of(clean if accuracy_pair is None else accuracy_pair[0], "own")
    reference = own if baseline is None else Scale.of(baseline, "baseline")
    pair = accuracy_pair if accuracy_pair is not None or mos is None else (clean, mos)
    measures: dict[str, Any] = dict.fromkeys(("srocc", "plcc", "krocc", "rmse"))
    if pair is not None:
        measures = {**accuracy.summary(*pair)}
    rows = [
        cast(
            GainRow,
            {
                "model": model,
                **measures,
                "attack": attack,
                "eps": eps,
                **on_scales(clean, scores, own, reference),
                "srocc_under_attack": None if mos is None else robust_srocc(scores, mos),
                "n": len(clean),
            },
        )
        for (attack, eps), scores in attacked.items()
    ]
    area = areas(rows)
    facts = {
        **measures,
        "clean_low": own.low,
        "clean_high": own.high,
        "clean_range_of_baseline": (own.high - own.low) / (reference.high - reference.low),
        "auc": {attack: {name: a.value for name, a in of_attack.items()} for attack, of_attack in area.items()},
        "auc_grid": {
            attack: {"eps": list(of_attack["abs_gain"].eps), "spacing": of_attack["abs_gain"].spacing}
            for attack, of_attack in area.items()
        },
    }
    per_image = list(_per_image(model, clean, attacked, names, mos))
    return Report(rows, {model: cast(ModelFacts, facts)}, per_image, attacks=attacks or {})


def _per_image(
    model: str,
    clean: Scores,
    attacked: Mapping[tuple[str, float | None], Scores],
    names: Sequence[str],
    mos: Scores | None,
) -> Iterable[ImageRow]:
    for (attack, eps), scores in attacked.items():
        for i, name in enumerate(names):
            row: ImageRow = {
                "image": name,
                "model": model,
                "attack": attack,
                "eps": eps,
                "clean": float(clean[i]),
                "attacked": float(scores[i]),
            }
            if mos is not None:
                row["mos"] = float(mos[i])
            yield row


def areas(rows: Sequence[GainRow]) -> dict[str, dict[str, AreaOverEps]]:
    """Attack -> area over eps of every gain measure of one model's rows; attacks with a single eps are left out."""
    result = {}
    for attack in dict.fromkeys(row["attack"] for row in rows):
        line = [(row["eps"], row) for row in rows if row["attack"] == attack and row["eps"] is not None]
        line.sort(key=lambda pair: pair[0])
        if len(line) > 1:
            eps = [size for size, _ in line]
            gains = {name: [cast(dict[str, float], row)[name] for _, row in line] for name in GAINS}
            result[attack] = {name: auc_over_eps(eps, values) for name, values in gains.items()}
    return result


def merge(reports: Sequence[ReportData]) -> Report:
    """Several models' reports as one, in order.

    Raises:
      ValueError: two models of one name.
    """
    models: dict[str, ModelFacts] = {}
    for report in reports:
        if models.keys() & report.models.keys():
            raise ValueError(f"merge: two models named {sorted(models.keys() & report.models.keys())[0]!r}")
        models |= report.models
    return Report(
        [row for report in reports for row in report.rows],
        models,
        [row for report in reports for row in report.per_image],
        pictures=[picture for report in reports for picture in report.pictures],
        attacks={name: kind for report in reports for name, kind in report.attacks.items()},
    )


def report_of(rows: Sequence[ImageRow], baseline: str | None = None) -> Report:
    """The report of per-image rows.

    Args:
      rows: of one or more models, all attacks of a model on the same images with the same clean scores.
      baseline: name of the model whose clean scores scale the headline; None: each model is its own.

    Raises:
      ValueError: no rows, no such model, attacks of one model with different images or clean scores.
    """
    cases = by_case(rows)
    models = list(dict.fromkeys(model for model, _, _ in cases))
    if not models:
        raise ValueError("report_of: no rows")
    if baseline is not None and baseline not in models:
        raise ValueError(f"report_of: no rows of the baseline {baseline!r}; models: {', '.join(models)}")
    reports, reference = [], None
    for model in sorted(models, key=lambda name: name != baseline):
        of_model = {(attack, eps): scores for (name, attack, eps), scores in cases.items() if name == model}
        first = next(iter(of_model.values()))
        in_order = {case: aligned(first, scores) for case, scores in of_model.items()}
        for (attack, eps), scores in in_order.items():
            if not np.array_equal(scores.clean, first.clean):
                raise ValueError(f"report_of: {model} has other clean scores under {attack} at eps {eps}")
        reference = first.clean if model == baseline else reference
        attacked = {case: scores.attacked for case, scores in in_order.items()}
        reports.append(summarise(model, first.clean, attacked, first.images, mos=first.mos, baseline=reference))
    return merge(reports)
