"""Agreement of predicted scores with opinion scores: SROCC, PLCC, KROCC, RMSE; no fit before any of them.
The field's usual measures, through scipy in float64; LinearityIQA reports them the same way (REFERENCE 5)."""

from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import stats

Scores = Float[np.ndarray, " n"]


def srocc(predictions: Scores, mos: Scores) -> float:
    """Spearman's rank correlation, -1..1."""
    result: Any = stats.spearmanr(*_checked(predictions, mos))
    return float(result.statistic)


def plcc(predictions: Scores, mos: Scores) -> float:
    """Pearson's linear correlation, -1..1."""
    result: Any = stats.pearsonr(*_checked(predictions, mos))
    return float(result.statistic)


def krocc(predictions: Scores, mos: Scores) -> float:
    """Kendall's rank correlation (tau-b), -1..1."""
    result: Any = stats.kendalltau(*_checked(predictions, mos))
    return float(result.statistic)


def rmse(predictions: Scores, mos: Scores) -> float:
    """Root mean squared difference, in score points."""
    predictions, mos = _checked(predictions, mos)
    return float(np.sqrt(np.mean((predictions - mos) ** 2)))


def summary(predictions: Scores, mos: Scores) -> dict[str, float]:
    """All four by name.

    Raises:
      ValueError: fewer than two photos, unequal lengths, non-finite or constant scores.
    """
    return {measure.__name__: measure(predictions, mos) for measure in (srocc, plcc, krocc, rmse)}


def _checked(predictions: Scores, mos: Scores) -> tuple[Scores, Scores]:
    checked = []
    for name, values in (("predictions", predictions), ("mos", mos)):
        values = np.asarray(values, np.float64)
        if values.ndim != 1 or len(values) < 2:
            raise ValueError(f"accuracy: at least two {name} in one dimension expected, got shape {values.shape}")
        if not np.isfinite(values).all():
            raise ValueError(f"accuracy: {name} hold NaN or infinity")
        if np.ptp(values) == 0:
            raise ValueError(f"accuracy: all {name} are equal, no correlation exists")
        checked.append(values)
    if len(checked[0]) != len(checked[1]):
        raise ValueError(f"accuracy: {len(checked[0])} predictions for {len(checked[1])} mos")
    return checked[0], checked[1]
