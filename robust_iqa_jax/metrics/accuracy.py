"""Agreement of predicted scores with opinion scores: SROCC, PLCC, KROCC, RMSE; PLCC and RMSE after a fit if asked.
The field's usual measures, through scipy in float64; LinearityIQA reports them without a fit (docs/sources.md 5)."""

from typing import Any

import numpy as np

from robust_iqa_jax.metrics.score_mapping import Kind, fit_mapping
from robust_iqa_jax.metrics.scores import Scores, checked_scores


def srocc(predictions: Scores, mos: Scores) -> float:
    """Spearman's rank correlation, -1..1."""
    from scipy import stats  # in each of them: it takes a second to import, which most commands do not need

    result: Any = stats.spearmanr(*_checked(predictions, mos))
    return float(result.statistic)


def plcc(predictions: Scores, mos: Scores, mapping: Kind | None = None) -> float:
    """Pearson's linear correlation, -1..1.

    Args:
      predictions, mos: (n,).
      mapping: fit on these images that comes first, see score_mapping. None: none. After one the correlation is not
        negative: a fit turns predictions for which lower is better round.

    Raises:
      ValueError: undefined correlation, unknown mapping, a fit that does not converge.
    """
    from scipy import stats

    result: Any = stats.pearsonr(*_checked(*_mapped(predictions, mos, mapping)))
    return float(result.statistic)


def krocc(predictions: Scores, mos: Scores) -> float:
    """Kendall's rank correlation (tau-b), -1..1."""
    from scipy import stats

    result: Any = stats.kendalltau(*_checked(predictions, mos))
    return float(result.statistic)


def rmse(predictions: Scores, mos: Scores, mapping: Kind | None = None) -> float:
    """Root mean squared difference, in points of the opinion scores; mapping as in `plcc`."""
    predictions, mos = _mapped(*_checked(predictions, mos), mapping)
    return float(np.sqrt(np.mean((predictions - mos) ** 2)))


def summary(predictions: Scores, mos: Scores) -> dict[str, float]:
    """All four by name, without a fit.

    Raises:
      ValueError: fewer than two photos, unequal lengths, non-finite or constant scores.
    """
    return {measure.__name__: measure(predictions, mos) for measure in (srocc, plcc, krocc, rmse)}


def _mapped(predictions: Scores, mos: Scores, mapping: Kind | None) -> tuple[Scores, Scores]:
    return (predictions if mapping is None else fit_mapping(predictions, mos, mapping)(predictions)), mos


def _checked(predictions: Scores, mos: Scores) -> tuple[Scores, Scores]:
    predictions, mos = checked_scores("accuracy", least=2, predictions=predictions, mos=mos)
    for name, values in (("predictions", predictions), ("mos", mos)):
        if np.ptp(values) == 0:
            raise ValueError(f"accuracy: all {name} are equal, no correlation exists")
    return predictions, mos
