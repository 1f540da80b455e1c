"""Accuracy measures against definitions written out in numpy."""

import numpy as np
import pytest

from robust_iqa_jax.metrics import accuracy

RNG = np.random.default_rng(0)
MOS = RNG.uniform(0, 100, 40).round(0)  # rounding makes ties
PREDICTED = MOS + RNG.normal(0, 20, 40)


def ranks(values):
    """Average ranks, ties shared."""
    return np.array([(values < v).sum() + ((values == v).sum() + 1) / 2 for v in values])


def pearson(a, b):
    a, b = a - a.mean(), b - b.mean()
    return a @ b / np.sqrt((a @ a) * (b @ b))


def kendall(a, b):
    """tau-b: concordant minus discordant pairs over the pairs untied in each."""
    s = np.sign(a[:, None] - a) * np.sign(b[:, None] - b)
    upper = np.triu_indices(len(a), 1)
    untied = [np.count_nonzero(np.sign(v[:, None] - v)[upper]) for v in (a, b)]
    return s[upper].sum() / np.sqrt(untied[0] * untied[1])


def test_equal_their_definitions():
    assert accuracy.summary(PREDICTED, MOS) == pytest.approx(
        {
            "srocc": pearson(ranks(PREDICTED), ranks(MOS)),
            "plcc": pearson(PREDICTED, MOS),
            "krocc": kendall(PREDICTED, MOS),
            "rmse": np.sqrt(np.mean((PREDICTED - MOS) ** 2)),
        },
        rel=1e-10,
    )


@pytest.mark.parametrize(
    ("predictions", "mos", "message"),
    [
        ([1.0], [1.0], "at least two"),
        ([1.0, np.nan], [1.0, 2.0], "NaN"),
        ([1.0, 1.0], [1.0, 2.0], "all predictions are equal"),
        ([1.0, 2.0, 3.0], [1.0, 2.0], "3 predictions for 2 mos"),
    ],
)
def test_undefined_cases_are_refused(predictions, mos, message):
    with pytest.raises(ValueError, match=message):
        accuracy.srocc(np.array(predictions), np.array(mos))
