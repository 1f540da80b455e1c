"""Order and distribution of scores under attack against double loops and integrals of distribution functions."""

import itertools

import numpy as np
import pytest
from scipy import stats
from scipy.stats import kendalltau

from robust_iqa_jax.metrics.distributions import energy_distance, wasserstein
from robust_iqa_jax.metrics.ranks import rank_inversion_rate, robust_srocc, srocc_interval
from robust_iqa_jax.metrics.robustness import RAW, Scale

RNG = np.random.default_rng(1)
CLEAN = RNG.uniform(20, 80, 30).round(0)  # rounding makes ties
ATTACKED = (CLEAN + RNG.normal(5, 20, 30)).round(0)
SCALES = [RAW, Scale.of(CLEAN, "own"), Scale(-10.0, 150.0, "baseline")]


def test_inversions_by_a_double_loop():
    ordered = [(i, j) for i in range(30) for j in range(i) if CLEAN[i] != CLEAN[j]]
    flipped = [(i, j) for i, j in ordered if (CLEAN[i] - CLEAN[j]) * (ATTACKED[i] - ATTACKED[j]) < 0]
    assert rank_inversion_rate(CLEAN, ATTACKED) == pytest.approx(len(flipped) / len(ordered), rel=1e-12)


def test_inversions_without_ties_are_kendalls_tau():
    clean, attacked = RNG.normal(size=(2, 50))
    tau = kendalltau(clean, attacked).statistic
    assert rank_inversion_rate(clean, attacked) == pytest.approx((1 - tau) / 2, rel=1e-12)
    assert rank_inversion_rate(clean, -clean) == 1
    assert rank_inversion_rate(clean, np.exp(clean)) == 0
    with pytest.raises(ValueError, match="all clean scores are equal"):
        rank_inversion_rate(np.ones(3), np.arange(3.0))


def test_robust_srocc_sees_order_only():
    mos = np.arange(30.0)
    ranks = (ATTACKED[:, None] > ATTACKED).sum(1) + ((ATTACKED[:, None] == ATTACKED).sum(1) + 1) / 2
    assert robust_srocc(ATTACKED, mos) == pytest.approx(np.corrcoef(ranks, mos)[0, 1], rel=1e-10)
    assert robust_srocc(3 * ATTACKED + 200, mos) == pytest.approx(robust_srocc(ATTACKED, mos), rel=1e-12)


def distribution_functions(a, b):
    grid = np.sort(np.concatenate([a, b]))
    f, g = ((values[None] <= grid[:-1, None]).mean(1) for values in (a, b))
    return f - g, np.diff(grid)


@pytest.mark.parametrize("scale", SCALES, ids=lambda scale: scale.name)
def test_distances_are_integrals_of_distribution_functions(scale):
    gap, width = distribution_functions(scale(CLEAN), scale(ATTACKED))
    assert wasserstein(CLEAN, ATTACKED, scale) == pytest.approx((np.abs(gap) * width).sum(), rel=1e-10)
    assert energy_distance(CLEAN, ATTACKED, scale) == pytest.approx(np.sqrt(2 * (gap**2 * width).sum()), rel=1e-10)


def test_energy_distance_by_pairs_and_how_distances_scale():
    s, t = CLEAN, ATTACKED
    mean = lambda a, b: np.abs(a[:, None] - b).mean()  # noqa: E731
    assert energy_distance(s, t, RAW) == pytest.approx(np.sqrt(2 * mean(s, t) - mean(s, s) - mean(t, t)), rel=1e-10)
    span = SCALES[2].high - SCALES[2].low
    assert wasserstein(s, t, SCALES[2]) == pytest.approx(wasserstein(s, t, RAW) / span, rel=1e-12)
    assert energy_distance(s, t, SCALES[2]) == pytest.approx(energy_distance(s, t, RAW) / np.sqrt(span), rel=1e-12)


@pytest.mark.parametrize("distance", [wasserstein, energy_distance])
def test_the_signed_form_has_the_sign_of_the_mean_shift(distance):
    assert distance(CLEAN, CLEAN - 5, RAW, signed=True) == -distance(CLEAN, CLEAN - 5, RAW) < 0
    assert distance(CLEAN, CLEAN + 5, RAW, signed=True) == distance(CLEAN, CLEAN + 5, RAW)
    spread = np.array([-1.0, 0.0, 1.0])
    assert distance(spread, 2 * spread, RAW, signed=True) == 0 < distance(spread, 2 * spread, RAW)


@pytest.mark.parametrize("seed", range(12))
def test_no_scores_inside_their_intervals_leave_the_bounds_and_some_orders_reach_them(seed):
    rng = np.random.default_rng(seed)
    mos, middle = rng.permutation(6) + 0.0, rng.normal(size=6)
    low, high = middle - rng.uniform(0, 1, 6), middle + rng.uniform(0, 1, 6)
    least, most = srocc_interval(low, high, mos)
    drawn = rng.uniform(low, high, (300, 6))
    assert all(least - 1e-9 <= stats.spearmanr(scores, mos).statistic <= most + 1e-9 for scores in drawn)
    in_boxes = []
    for order in itertools.permutations(range(6)):
        ranks = np.array(order)
        beyond = [((high < low[i]).sum(), (low > high[i]).sum()) for i in range(6)]
        if all(below <= rank <= 5 - above for rank, (below, above) in zip(ranks, beyond, strict=True)):
            in_boxes.append(stats.spearmanr(ranks, mos).statistic)
    assert (least, most) == pytest.approx((min(in_boxes), max(in_boxes)))


def test_intervals_of_no_width_have_their_srocc_and_endless_ones_any():
    rng = np.random.default_rng(0)
    scores, mos = rng.normal(size=30), rng.integers(0, 9, 30).astype(float)  # people agree on some
    exact = stats.spearmanr(scores, mos).statistic
    assert srocc_interval(scores, scores, mos) == pytest.approx((exact, exact))
    mos = rng.permutation(30) + 0.0
    assert srocc_interval(scores - 99, scores + 99, mos) == pytest.approx((-1, 1))


def test_intervals_that_are_none_are_refused():
    with pytest.raises(ValueError, match="low ends above high ones, the first at 1"):
        srocc_interval(np.array([0.0, 2.0]), np.array([1.0, 1.0]), np.array([1.0, 2.0]))
    with pytest.raises(ValueError, match="all opinion scores are equal"):
        srocc_interval(np.zeros(2), np.ones(2), np.ones(2))
