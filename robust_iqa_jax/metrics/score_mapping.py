"""Maps from predicted to opinion scores that PLCC and RMSE may be taken after: a line, logistics of 4 and 5 parameters.
VQEG (FR-TV phase I report, 2000); Sheikh, Sabir & Bovik 2006 (IEEE TIP 15(11)); peers' choices in docs/sources.md 5."""

from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float

from robust_iqa_jax.metrics.scores import Scores, checked_scores

Kind = Literal["linear", "logistic4", "logistic5"]

_PARAMETERS = {"linear": 2, "logistic4": 4, "logistic5": 5}
# In standard deviations of the predictions. A narrower logistic is a step between two images; a wider one is a line to
# 1e-5, and its parameters would run away.
_WIDTHS = (0.01, 100.0)
_START_WIDTHS = (0.1, 0.25, 1.0, 3.0)
_START_QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.9)
_REFINED = 3
_TOLERANCE = 1e-13
_EVALUATIONS = 500


@dataclass(frozen=True)
class ScoreMapping:
    """A fitted map of predictions x to the scale of opinion scores.

    Attributes:
      kind: "linear": b1 x + b2.
        "logistic4" (VQEG): (b1 - b2) / (1 + exp(-(x - b3) / b4)) + b2, b4 > 0; b1 < b2 where higher is worse.
        "logistic5" (Sheikh et al., equations 9, 10): b1 (1/2 - 1 / (1 + exp(b2 (x - b3)))) + b4 x + b5, b2 > 0.
      parameters: b1, b2, ...
    """

    kind: Kind
    parameters: tuple[float, ...]

    def __call__(self, predictions: Scores) -> Scores:
        """Mapped predictions (n,), in points of the opinion scores."""
        from scipy.special import expit  # in each of them: scipy takes a second to import

        x, b = np.asarray(predictions, np.float64), self.parameters
        if self.kind == "linear":
            return b[0] * x + b[1]
        if self.kind == "logistic4":
            return (b[0] - b[1]) * expit((x - b[2]) / b[3]) + b[1]
        return b[0] * (expit(b[1] * (x - b[2])) - 0.5) + b[3] * x + b[4]


def fit_mapping(predictions: Scores, mos: Scores, kind: Kind) -> ScoreMapping:
    """The least-squares map of a kind.

    The height, offset and slope of a logistic follow from its centre and width by linear least squares, so that only
    these two are searched: from the best of 20 starts over the predictions' quantiles and a range of widths, the width
    within 0.01 to 100 standard deviations of the predictions, the centre within 3 beyond them.

    Args:
      predictions, mos: (n,) scores, n above the number of parameters.
      kind: see ScoreMapping.

    Raises:
      ValueError: unknown kind, unequal lengths, too few or constant scores, or a fit that does not converge: there is
        no silent step down to a simpler kind.
    """
    if kind not in get_args(Kind):
        raise ValueError(f"fit_mapping: unknown kind {kind!r}; choose one of {', '.join(get_args(Kind))}")
    least = _PARAMETERS[kind] + 1
    predictions, mos = checked_scores(f"fit_mapping {kind}", least=least, predictions=predictions, mos=mos)
    mean, spread = predictions.mean(), predictions.std()
    if spread == 0:
        raise ValueError(f"fit_mapping {kind}: all predictions are equal, nothing can be fitted to them")
    z = (predictions - mean) / spread
    centre, width = (0.0, 1.0) if kind == "linear" else _search(z, mos, kind)
    linear = _linear_part(z, mos, kind, centre, width)[0]
    if kind == "linear":
        return ScoreMapping(kind, (float(linear[0] / spread), float(linear[1] - linear[0] * mean / spread)))
    centre, width = float(centre * spread + mean), float(width * spread)
    if kind == "logistic4":
        height, offset = map(float, linear)
        return ScoreMapping(kind, (height + offset, offset, centre, width))
    height, slope, offset = map(float, linear)
    return ScoreMapping(
        kind, (height, 1 / width, centre, slope / float(spread), offset - slope * float(mean) / float(spread))
    )


def _search(z: Scores, mos: Scores, kind: Kind) -> tuple[float, float]:
    """Centre and width of the best logistic, in standard deviations of the predictions."""
    from scipy.optimize import least_squares

    def residuals(point: Float[np.ndarray, " 2"]) -> Scores:
        return _linear_part(z, mos, kind, point[0], np.exp(point[1]))[1]

    starts = [np.array([np.quantile(z, q), np.log(w)]) for q in _START_QUANTILES for w in _START_WIDTHS]
    starts.sort(key=lambda start: float((residuals(start) ** 2).sum()))
    bounds = np.array([[z.min() - 3, np.log(_WIDTHS[0])], [z.max() + 3, np.log(_WIDTHS[1])]])
    refine = partial(
        least_squares, jac="3-point", ftol=_TOLERANCE, xtol=_TOLERANCE, gtol=_TOLERANCE, max_nfev=_EVALUATIONS
    )
    fits = [refine(residuals, start, bounds=bounds) for start in starts[:_REFINED]]
    best = min(fits, key=lambda result: result.cost)
    if not best.success:
        raise ValueError(f"fit_mapping {kind}: the fit to {len(z)} images did not converge; use kind='linear'")
    return float(best.x[0]), float(np.exp(best.x[1]))


def _linear_part(z: Scores, mos: Scores, kind: Kind, centre: float, width: float) -> tuple[Scores, Scores]:
    """Coefficients of the columns of a map at a centre and width, and what they leave of the opinion scores."""
    from scipy.special import expit

    one, bend = np.ones_like(z), expit((z - centre) / width)
    columns = {"linear": (z, one), "logistic4": (bend, one), "logistic5": (bend - 0.5, z, one)}[kind]
    matrix = np.stack(columns, axis=1)
    coefficients = np.linalg.lstsq(matrix, mos, rcond=None)[0]
    return coefficients, matrix @ coefficients - mos
