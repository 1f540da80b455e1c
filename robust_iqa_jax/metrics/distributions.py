"""Distance between the distributions of clean and attacked scores, whichever image has which score.
MSU's robustness benchmark, robustness_benchmark/score_methods.py; distances as scipy.stats defines them."""

import numpy as np

from robust_iqa_jax.metrics.robustness import Scale
from robust_iqa_jax.metrics.scores import Scores, checked_scores


def wasserstein(clean: Scores, attacked: Scores, scale: Scale, *, signed: bool = False) -> float:
    """Wasserstein-1 distance of clean and attacked scores on a scale: the area between their distribution functions.

    Args:
      clean, attacked: (n,) scores.
      scale: range.
      signed: MSU's form: times the sign of mean(attacked) - mean(clean), so that a spread without a shift counts 0.
    """
    from scipy import stats  # in both of them: it takes a second to import

    clean, attacked = _scaled("wasserstein", clean, attacked, scale)
    return _sign(clean, attacked, signed) * float(stats.wasserstein_distance(clean, attacked))


def energy_distance(clean: Scores, attacked: Scores, scale: Scale, *, signed: bool = False) -> float:
    """Energy distance of clean and attacked scores on a scale: sqrt(2 E|S - S'| - E|S - T| - E|S' - T'|), with S, T
    drawn from the clean scores and S', T' from the attacked ones; it grows with the root of the scale.

    Args:
      clean, attacked, scale, signed: as in `wasserstein`.
    """
    from scipy import stats

    clean, attacked = _scaled("energy_distance", clean, attacked, scale)
    return _sign(clean, attacked, signed) * float(stats.energy_distance(clean, attacked))


def _scaled(metric: str, clean: Scores, attacked: Scores, scale: Scale) -> tuple[Scores, Scores]:
    clean, attacked = checked_scores(metric, clean=clean, attacked=attacked)
    return scale(clean), scale(attacked)


def _sign(clean: Scores, attacked: Scores, signed: bool) -> float:
    return float(np.sign(attacked.mean() - clean.mean())) if signed else 1.0
