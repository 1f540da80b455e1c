"""What an attack does to the order of the images; no scale matters here.
SROCC with opinion scores as in the field (docs/sources.md 5); the inversion rate is ours."""

import numpy as np

from robust_iqa_jax.metrics import accuracy
from robust_iqa_jax.metrics.scores import Scores, checked_scores


def robust_srocc(attacked: Scores, mos: Scores) -> float:
    """SROCC of the scores under attack with the opinion scores, -1..1: accuracy that an attack leaves.

    An attack that raises all scores alike leaves it as it was, however large the gain.

    Raises:
      ValueError: as accuracy.srocc, such as for attacked scores that are all equal.
    """
    return accuracy.srocc(attacked, mos)


def rank_inversion_rate(clean: Scores, attacked: Scores) -> float:
    """Share, 0..1, of the pairs of images with different clean scores whose order the attack reverses. Ours.

    #{i < j: (c_i - c_j)(a_i - a_j) < 0} / #{i < j: c_i != c_j}. Pairs that the attack ties are not reversed; without
    ties it is (1 - Kendall's tau of clean and attacked scores) / 2.

    Raises:
      ValueError: fewer than two images, all clean scores equal.
    """
    clean, attacked = checked_scores("rank_inversion_rate", least=2, clean=clean, attacked=attacked)
    reversed_pairs = ordered_pairs = 0
    for i in range(1, len(clean)):  # a row at a time: no (n, n) arrays
        order = np.sign(clean[i] - clean[:i])
        reversed_pairs += np.count_nonzero(order * np.sign(attacked[i] - attacked[:i]) < 0)
        ordered_pairs += np.count_nonzero(order)
    if not ordered_pairs:
        raise ValueError("rank_inversion_rate: all clean scores are equal, there is no order to reverse")
    return reversed_pairs / ordered_pairs


def srocc_interval(low: Scores, high: Scores, mos: Scores) -> tuple[float, float]:
    """Bounds of the SROCC that scores inside these intervals can have with the opinion scores. Ours.

    Interval i leaves score i the ranks from #{j: high_j < low_i} to n - 1 - #{j: low_j > high_i}; the bounds are the
    least and the largest correlation of an assignment of the ranks that respects all of these (O(n^3) at worst). Equal
    scores are not considered: an SROCC of tied scores can lie outside.

    Args:
      low, high: (n,) ends of the intervals, such as certified ones.
      mos: (n,) opinion scores.

    Raises:
      ValueError: fewer than two images, a low end above the high one, opinion scores that are all equal.
    """
    from scipy import stats
    from scipy.optimize import linear_sum_assignment

    low, high, mos = checked_scores("srocc_interval", least=2, low=low, high=high, mos=mos)
    if (low > high).any():
        raise ValueError(f"srocc_interval: low ends above high ones, the first at {int(np.argmax(low > high))}")
    if (mos == mos[0]).all():
        raise ValueError("srocc_interval: all opinion scores are equal, there is no order to compare with")
    count = len(mos)
    first = np.searchsorted(np.sort(high), low, "left")
    last = np.searchsorted(np.sort(low), high, "right") - 1
    ranks = np.arange(count)
    people = np.asarray(stats.rankdata(mos), np.float64)
    agreement = np.outer((people - people.mean()) / people.std(), (ranks - ranks.mean()) / ranks.std())
    barred = (ranks < first[:, None]) | (ranks > last[:, None])
    ends = []
    for sign in (1, -1):
        rows, columns = linear_sum_assignment(np.where(barred, 4.0 * count * count, sign * agreement))
        ends.append(float(agreement[rows, columns].mean()))
    return ends[0], ends[1]
