"""A small report made from drawn scores, with names that break HTML, LaTeX, Markdown and matplotlib's formulas."""

import numpy as np

from robust_iqa_jax.report.files import Report
from robust_iqa_jax.report.summarise import merge, summarise

HOSTILE = "<b>_x$1|\\&%#{"
SCRIPT = "</script><script>alert('1')</script>.png"
EPS = (2 / 255, 4 / 255)


def small_report(photos: int = 12) -> Report:
    """Three models: "base"; "robust", a copy of it with half its range; one that attacks move less on any range.

    "pgd-1" has two sizes, "stadv-10" none, "pgd-8-change" raises some scores and lowers others.
    """
    rng = np.random.default_rng(0)
    mos = rng.uniform(0, 100, photos)
    clean = mos + rng.normal(0, 5, photos)
    moves = {("pgd-1", eps): rng.uniform(10, 20, photos) * (1 + 40 * eps) for eps in EPS}
    moves["suite-20", EPS[1]] = rng.uniform(60, 80, photos)
    moves["suite-20", EPS[1]][0] = 90
    moves["stadv-10", None] = rng.normal(4, 2, photos)
    moves["pgd-8-change", EPS[0]] = 30 * np.resize([1, -1], photos)
    names = [SCRIPT, *(f"photo_{i}.png" for i in range(1, photos))]
    reports = []
    for model, width, strength in (("base", 1, 1), ("robust", 0.5, 1), (HOSTILE, 0.9, 0.2)):
        attacked = {case: width * (clean + strength * move) for case, move in moves.items()}
        reports.append(summarise(model, width * clean, attacked, names, mos=mos, baseline=clean))
    return merge(reports)
