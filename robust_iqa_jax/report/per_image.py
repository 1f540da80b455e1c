"""Per-image rows as arrays, in one order for two models, for paired comparisons.
Rows as types.ImageRow has them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from robust_iqa_jax.metrics.scores import Scores
from robust_iqa_jax.report.types import ImageRow

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


def by_case(rows: Sequence[ImageRow]) -> dict[Case, AttackedScores]:
    """The scores of every model, attack and eps, in the order of the rows.

    Raises:
      ValueError: an image twice in one case.
    """
    cases: dict[Case, list[ImageRow]] = {}
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


def _scores(case: Case, rows: Sequence[ImageRow]) -> AttackedScores:
    images = tuple(row["image"] for row in rows)
    if len(set(images)) < len(images):
        twice = next(name for i, name in enumerate(images) if name in images[:i])
        raise ValueError(f"per-image rows: {twice!r} comes twice for {case[0]} under {case[1]} at eps {case[2]}")
    columns = {name: np.array([row[name] for row in rows], np.float64) for name in ("clean", "attacked")}
    opinions = [row.get("mos") for row in rows]
    mos = None if None in opinions else np.array(opinions, np.float64)
    return AttackedScores(images, columns["clean"], columns["attacked"], mos)
