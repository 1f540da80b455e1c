"""Per-image rows as arrays, and as a report: the way from anybody's per-image scores to every metric.
Rows are evaluate.Report.per_image's: image, model, attack, eps, clean, attacked, and mos where known."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from robust_iqa_jax.evaluation.evaluate import Report, Row, merge, summarise
from robust_iqa_jax.metrics.scores import Scores

Case = tuple[str, str, float | None]
"""Model, attack, eps."""


@dataclass(frozen=True)
class AttackedScores:
    """Scores of one model under one attack.

    Attributes:
      images: names, each once.
      clean, attacked: (n,) scores.
      mos: (n,) opinion scores, where known.
    """

    images: tuple[str, ...]
    clean: Scores
    attacked: Scores
    mos: Scores | None


def by_case(rows: Sequence[Row]) -> dict[Case, AttackedScores]:
    """The scores of every model, attack and eps, in the order of the rows.

    Raises:
      ValueError: an image twice in one case.
    """
    cases: dict[Case, list[Row]] = {}
    for row in rows:
        cases.setdefault((row["model"], row["attack"], row["eps"]), []).append(row)
    return {case: _scores(case, of_case) for case, of_case in cases.items()}


def aligned(a: AttackedScores, b: AttackedScores) -> AttackedScores:
    """b with its images in the order of a's, for paired comparisons.

    Raises:
      ValueError: they hold different images.
    """
    index = {name: i for i, name in enumerate(b.images)}
    if different := set(a.images) ^ set(b.images):
        raise ValueError(
            f"aligned: {len(different)} images are in one of the two only, such as {sorted(different)[0]!r}"
        )
    order = np.array([index[name] for name in a.images], int)
    return AttackedScores(a.images, b.clean[order], b.attacked[order], None if b.mos is None else b.mos[order])


def report_of(rows: Sequence[Row], baseline: str | None = None) -> Report:
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


def _scores(case: Case, rows: Sequence[Row]) -> AttackedScores:
    images = tuple(row["image"] for row in rows)
    if len(set(images)) < len(images):
        twice = next(name for i, name in enumerate(images) if name in images[:i])
        raise ValueError(f"per-image rows: {twice!r} comes twice for {case[0]} under {case[1]} at eps {case[2]}")
    columns = {name: np.array([row[name] for row in rows], np.float64) for name in ("clean", "attacked")}
    opinions = [row.get("mos") for row in rows]
    mos = None if None in opinions else np.array(opinions, np.float64)
    return AttackedScores(images, columns["clean"], columns["attacked"], mos)
