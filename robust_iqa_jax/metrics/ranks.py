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
