"""Bootstrap over images: confidence intervals of any metric, and a paired test between two variants.
Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapters 13, 14 (percentile, BCa) and 16 (tests)."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from robust_iqa_jax.metrics.scores import Scores, checked_scores

Method = Literal["bca", "percentile"]


@dataclass(frozen=True)
class Interval:
    """A metric and where it may lie.

    Attributes:
      estimate: of the images at hand.
      low, high: ends of the interval.
      confidence: of the interval, in (0, 1).
      method: "bca" (bias-corrected and accelerated) or "percentile".
      resamples, seed: how many sets of images were drawn, with replacement, from which seed.
    """

    estimate: float
    low: float
    high: float
    confidence: float
    method: Method
    resamples: int
    seed: int


@dataclass(frozen=True)
class PairedTest:
    """Difference of a mean metric between two variants on the same images.

    Attributes:
      difference: mean of a - b and its interval.
      p_value: two-sided, of "the two means are equal".
    """

    difference: Interval
    p_value: float


def bootstrap_interval(
    statistic: Callable[..., float],
    *samples: Scores,
    confidence: float = 0.95,
    method: Method = "bca",
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Interval of a statistic of per-image values, the images drawn as a whole: their values stay together.

    Args:
      statistic: (n,), ... -> number, such as accuracy.srocc, or np.mean of per-image gains.
      samples: (n,) values of the same images, one array for each argument of the statistic.
      confidence: in (0, 1).
      method: see Interval.
      resamples: sets of images drawn.
      seed: of the draws; the same seed repeats the result.

    Raises:
      ValueError: unequal lengths, fewer than two images, settings out of range, a statistic that is undefined on a
        draw, a BCa interval that does not exist.
    """
    from scipy import stats  # here: it takes a second to import

    if method not in get_args(Method):
        raise ValueError(f"bootstrap: unknown method {method!r}; choose one of {', '.join(get_args(Method))}")
    if not 0 < confidence < 1:
        raise ValueError(f"bootstrap: confidence must lie between 0 and 1, got {confidence}")
    if resamples < 100:
        raise ValueError(f"bootstrap: at least 100 resamples expected, got {resamples}")
    samples = checked_scores("bootstrap", least=2, **{f"values of sample {i}": s for i, s in enumerate(samples, 1)})
    estimate = float(statistic(*samples))
    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):  # degenerate data: see below
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        result: Any = stats.bootstrap(
            samples,
            np.mean if statistic is np.mean else lambda *drawn: _on_draw(statistic, drawn),
            paired=True,
            vectorized=statistic is np.mean,  # of all draws at once
            n_resamples=resamples,
            confidence_level=confidence,
            method="BCa" if method == "bca" else method,
            rng=np.random.default_rng(seed),
        )
    low, high = map(float, result.confidence_interval)
    if np.ptp(result.bootstrap_distribution) == 0:
        low = high = estimate
    if not np.isfinite([low, high]).all():
        raise ValueError("bootstrap: no BCa interval exists for these values; use method='percentile'")
    return Interval(estimate, low, high, confidence, method, resamples, seed)


def paired_bootstrap_test(
    a: Scores,
    b: Scores,
    *,
    confidence: float = 0.95,
    method: Method = "bca",
    resamples: int = 2000,
    seed: int = 0,
) -> PairedTest:
    """Whether two variants differ in the mean of a per-image metric, such as robustness.gains or r_scores.

    With d = a - b, the p-value is the share of draws from d - mean(d), whose mean is zero, with a mean at least as far
    from zero as that of d, the data counted among the draws: (1 + number) / (1 + resamples). Scales that the metric
    was computed on are taken as fixed.

    Args:
      a, b: (n,) per-image values of the two variants, of the same images in the same order (per_image.aligned).
      confidence, method, resamples, seed: as in `bootstrap_interval`.

    Raises:
      ValueError: as `bootstrap_interval`.
    """
    a, b = checked_scores("paired_bootstrap_test", least=2, a=a, b=b)
    difference = a - b
    settings: dict[str, Any] = {"confidence": confidence, "method": method, "resamples": resamples, "seed": seed}
    interval = bootstrap_interval(np.mean, difference, **settings)
    # Another stream than the interval's: the two answers then share no luck.
    draws = np.random.default_rng([seed, 1]).integers(0, len(difference), (resamples, len(difference)))
    null = (difference - difference.mean())[draws].mean(1)
    # Where all differences are equal, rounding is all that is left of a draw's mean.
    extreme = np.abs(null) >= abs(interval.estimate) * (1 - 1e-12)
    return PairedTest(interval, float((1 + extreme.sum()) / (1 + resamples)))


def _on_draw(statistic: Callable[..., float], drawn: tuple[Scores, ...]) -> float:
    try:
        value = statistic(*drawn)
        if not np.isfinite(value):
            raise ValueError(f"the statistic is {value}")
    except ValueError as error:
        count = len(drawn[0])
        raise ValueError(f"bootstrap: undefined on a draw of {count} images ({error}); use more images") from error
    return value
