"""Bootstrap intervals against their textbook formulas in numpy, and the paired test's size and power."""

import numpy as np
import pytest
from scipy.stats import norm

from robust_iqa_jax.metrics import accuracy
from robust_iqa_jax.metrics.bootstrap import bootstrap_interval, paired_bootstrap_test

RNG = np.random.default_rng(5)
MOS = RNG.uniform(0, 100, 40)
PREDICTED = MOS + RNG.normal(0, 20, 40)


def correlation(a, b):
    return np.corrcoef(a, b)[0, 1]


def by_hand(statistic, samples, resamples, seed, confidence):
    """Percentile and BCa ends, Efron & Tibshirani 1993, equations 13.4 and 14.9, 14.10, 14.14, 14.15."""
    n = len(samples[0])
    draws = np.random.default_rng(seed).integers(0, n, (resamples, n))
    values = np.array([statistic(*(s[draw] for s in samples)) for draw in draws])
    tails = np.array([(1 - confidence) / 2, (1 + confidence) / 2])
    estimate = statistic(*samples)
    below = ((values < estimate).sum() + (values <= estimate).sum()) / (2 * resamples)
    left_out = np.array([statistic(*(np.delete(s, i) for s in samples)) for i in range(n)])
    u = left_out.mean() - left_out
    acceleration = (u**3).sum() / (6 * (u**2).sum() ** 1.5)
    z = norm.ppf(below) + norm.ppf(tails)
    corrected = norm.cdf(norm.ppf(below) + z / (1 - acceleration * z))
    return {"percentile": np.quantile(values, tails), "bca": np.quantile(values, corrected)}


@pytest.mark.parametrize("method", ["percentile", "bca"])
@pytest.mark.parametrize(("statistic", "samples"), [(np.mean, (MOS**2,)), (correlation, (PREDICTED, MOS))])
def test_intervals_equal_their_formulas_on_the_same_draws(method, statistic, samples):
    found = bootstrap_interval(statistic, *samples, method=method, resamples=300, seed=9, confidence=0.9)
    low, high = by_hand(statistic, samples, 300, 9, 0.9)[method]
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-10)
    assert found.estimate == pytest.approx(statistic(*samples), rel=1e-12)
    assert found.low < found.estimate < found.high


def test_the_seed_alone_decides():
    one, same, other = (bootstrap_interval(accuracy.plcc, PREDICTED, MOS, resamples=200, seed=s) for s in (1, 1, 2))
    assert one == same
    assert (one.low, one.high) != (other.low, other.high)


def test_paired_test_by_hand():
    a, b = RNG.normal(0.3, 1, 50), RNG.normal(0, 1, 50)
    found = paired_bootstrap_test(a, b, resamples=500, seed=4)
    d = a - b
    draws = np.random.default_rng([4, 1]).integers(0, 50, (500, 50))
    extreme = [abs((d - d.mean())[draw].mean()) >= abs(d.mean()) for draw in draws]
    assert found.p_value == pytest.approx((1 + sum(extreme)) / 501, rel=1e-10)
    assert found.difference == bootstrap_interval(np.mean, d, resamples=500, seed=4)
    turned = paired_bootstrap_test(b, a, resamples=500, seed=4)
    assert turned.difference.estimate == -found.difference.estimate
    assert turned.p_value == found.p_value


def test_paired_test_finds_differences_that_are_there_and_few_others():
    shift = np.array([0.0, 0.5])
    p = np.array(
        [
            [paired_bootstrap_test(x + s, x + noise, resamples=200, method="percentile").p_value for s in shift]
            for x, noise in (np.random.default_rng(i).normal(size=(2, 60)) for i in range(60))
        ]
    )
    assert (p[:, 0] < 0.05).sum() <= 8  # 3 of 60 expected; a test of the right size fails for one seed in 350
    assert (p[:, 1] < 0.05).mean() > 0.8


@pytest.mark.parametrize(("gap", "p_value"), [(0.0, 1.0), (0.1, 1 / 201)])
def test_variants_that_differ_by_a_constant_have_a_point_for_an_interval(gap, p_value):
    found = paired_bootstrap_test(np.full(10, gap), np.zeros(10), resamples=200)
    assert (found.difference.low, found.difference.high) == (gap, gap)
    assert found.p_value == pytest.approx(p_value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "t"}, "unknown method 't'; choose one of bca, percentile"),
        ({"confidence": 1.5}, "confidence must lie between 0 and 1"),
        ({"resamples": 10}, "at least 100 resamples"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(np.mean, MOS, **settings)


def test_draws_on_which_a_statistic_is_undefined_are_named():
    with pytest.raises(ValueError, match=r"undefined on a draw of 3 images \(accuracy: all predictions are equal"):
        bootstrap_interval(accuracy.srocc, np.arange(3.0), np.arange(3.0))
    with pytest.raises(ValueError, match=r"undefined on a draw of 40 images \(the statistic is nan\)"):
        bootstrap_interval(lambda x: float(np.mean(x)) if len(set(x)) == 40 else np.nan, MOS)
    with pytest.raises(ValueError, match="values of sample 1 for 39 values of sample 2"):
        bootstrap_interval(correlation, MOS, MOS[1:])
