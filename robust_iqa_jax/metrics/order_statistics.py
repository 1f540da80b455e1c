"""Bounds of quantiles from order statistics: exact for any distribution, ties included, at a confidence level.
Chiang et al. 2020, "Detection as Regression" (arXiv 2007.03730), section 3; binomial tails instead of their bounds."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Ranks:
    """Places, counted from 0, of the sorted samples that bound a certificate.

    Attributes:
      lower, upper: the interval's ends.
      median: the smoothed score, the upper one of an even number's two middle samples.
    """

    lower: int
    median: int
    upper: int

    def of(self, samples: Float[np.ndarray, "... n"]) -> Float[np.ndarray, "... 3"]:
        """Lower end, median and upper end of samples (..., n)."""
        return np.sort(samples, -1)[..., [self.lower, self.median, self.upper]]


def shifted_quantiles(ratio: float) -> tuple[float, float]:
    """Quantiles of noisy scores between which the median stays, wherever the image moves by up to `ratio` sigma.

    Phi(-ratio) and Phi(ratio): the median smoothed score at x + d lies between these quantiles of the noisy scores at
    x, for every d with |d|_2 <= ratio sigma (Chiang et al., lemma 1 at p = 1/2).
    """
    from scipy.special import ndtr  # in each of them: scipy takes a second to import

    return float(ndtr(-ratio)), float(ndtr(ratio))


def certifying_ranks(samples: int, ratio: float, alpha: float) -> Ranks:
    """Order statistics that bound the median smoothed score in a whole ball, with probability 1 - alpha.

    Each end fails with probability at most alpha / 2. Lower: the largest l whose l-th smallest sample lies above the
    quantile p = Phi(-ratio) with at most that probability, P[Binomial(n, p) < l] <= alpha / 2; at most p of the mass
    lies below the quantile, whatever the distribution, so ties only help. Upper: the same from the other end.

    Args:
      samples: n, independent noisy scores.
      ratio: radius / sigma, >= 0.
      alpha: chance that the interval fails, in (0, 1).

    Raises:
      ValueError: so few samples that no order statistic is sure enough; the message says how many are enough.
    """
    from scipy.stats import binom

    low, _ = shifted_quantiles(ratio)
    # P[Binomial(n, low) < l], l from 1 on
    count = int(np.searchsorted(binom.cdf(np.arange(samples), samples, low), alpha / 2, "right"))
    if count < 1:
        raise ValueError(
            f"{samples} samples bound nothing at a radius of {ratio:.3g} sigma; take {samples_needed(ratio, alpha):,} "
            f"samples or more, or a radius up to {largest_ratio(samples, alpha):.3g} sigma"
        )
    return Ranks(count - 1, samples // 2, samples - count)


def samples_needed(ratio: float, alpha: float) -> int:
    """Fewest samples whose least and greatest bound the median smoothed score at this radius."""
    low, _ = shifted_quantiles(ratio)
    return math.ceil(math.log(alpha / 2) / math.log1p(-low)) if low > 0 else 2**62


def largest_ratio(samples: int, alpha: float) -> float:
    """Largest radius / sigma at which so many samples bound anything."""
    from scipy.special import ndtri

    return max(0.0, float(ndtri((alpha / 2) ** (1 / samples))))
