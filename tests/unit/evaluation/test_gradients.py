"""l1 norms of gradients against numpy's own derivative."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_score
from jax.tree_util import Partial

from robust_iqa_jax.evaluation.gradients import gradient_l1

IMAGES = small_score.images(5)


@pytest.mark.parametrize("batch_size", [2, 8])
def test_equal_the_gradient_written_down(batch_size):
    expected = np.abs(small_score.gradient(IMAGES.astype(np.float64))).sum((1, 2, 3))
    np.testing.assert_allclose(gradient_l1(small_score.score, IMAGES, batch_size=batch_size), expected, rtol=1e-5)


def test_in_float64_to_ten_digits():
    with jax.enable_x64(True):
        images = IMAGES.astype(np.float64)
        expected = np.abs(small_score.gradient(images)).sum((1, 2, 3))
        np.testing.assert_allclose(gradient_l1(small_score.score, images), expected, rtol=1e-10)


def test_weights_of_a_scorer_are_traced():
    traces = []

    def linear(weights, x):
        traces.append(1)
        return (x * weights).sum((1, 2, 3))

    for weight in (2.0, 3.0):
        norms = gradient_l1(Partial(linear, jnp.full((), weight)), IMAGES)
        np.testing.assert_allclose(norms, np.full(5, weight * 90), rtol=1e-6)
    assert len(traces) == 1


def test_a_batch_of_none_is_refused():
    with pytest.raises(ValueError, match="a batch size of 1 or more expected, got 5 and 0"):
        gradient_l1(small_score.score, IMAGES, batch_size=0)
