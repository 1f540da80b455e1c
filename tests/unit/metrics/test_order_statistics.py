"""Order statistics that certify: their chance of failure by enumeration and by draws, ties, and the largest ranks."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from robust_iqa_jax.metrics.order_statistics import (
    certifying_ranks,
    largest_ratio,
    samples_needed,
    shifted_quantiles,
)


def tail(samples, p, below):
    """P[Binomial(samples, p) < below], summed term by term."""
    return sum(math.comb(samples, k) * p**k * (1 - p) ** (samples - k) for k in range(below))


@pytest.mark.parametrize("ratio", [0.0, 0.3, 1.0, 2.0])
@pytest.mark.parametrize("samples", [90, 301])
def test_each_end_is_the_sharpest_that_fails_at_most_half_of_alpha(samples, ratio):
    alpha, (low, high) = 0.3, shifted_quantiles(ratio)
    ranks = certifying_ranks(samples, ratio, alpha)
    assert tail(samples, low, ranks.lower + 1) <= alpha / 2 < tail(samples, low, ranks.lower + 2)
    # the upper end fails where no more than samples - upper - 1 lie above
    assert (
        tail(samples, 1 - high, samples - ranks.upper) <= alpha / 2 < tail(samples, 1 - high, samples - ranks.upper + 1)
    )
    assert ranks.lower <= ranks.median <= ranks.upper


@pytest.mark.parametrize("levels", [None, 3])
def test_ends_bound_the_quantiles_as_often_as_promised(levels):
    """Of uniform samples, and of uniform ones rounded up to three levels, where quantiles are ties."""
    ratio, alpha, samples, trials = 0.8, 0.1, 80, 4000
    draws = np.random.default_rng(0).uniform(size=(trials, samples))
    low, high = shifted_quantiles(ratio)
    if levels:
        draws, low, high = (np.ceil(np.asarray(x) * levels) / levels for x in (draws, low, high))
    ends = certifying_ranks(samples, ratio, alpha).of(draws)
    wrong = (ends[:, 0] > low) | (ends[:, 2] < high)
    assert wrong.mean() <= alpha + 3 * math.sqrt(alpha / trials)


def test_quantiles_are_the_normal_distributions():
    assert shifted_quantiles(0) == (0.5, 0.5)
    assert shifted_quantiles(1.5) == pytest.approx((norm.cdf(-1.5), 1 - norm.cdf(-1.5)))


def test_too_few_samples_are_refused_with_what_is_enough():
    ratio, alpha = 0.5 / 0.12, 0.001
    needed = samples_needed(ratio, alpha)
    assert certifying_ranks(needed, ratio, alpha).lower == 0
    with pytest.raises(ValueError, match=f"1000 samples bound nothing .* take {needed:,} samples or more, or a radius"):
        certifying_ranks(1000, ratio, alpha)
    with pytest.raises(ValueError, match="bound nothing"):
        certifying_ranks(needed - 1, ratio, alpha)
    edge = largest_ratio(1000, alpha)
    assert certifying_ranks(1000, edge - 1e-6, alpha).lower == 0
    with pytest.raises(ValueError, match="bound nothing"):
        certifying_ranks(1000, edge + 1e-6, alpha)
