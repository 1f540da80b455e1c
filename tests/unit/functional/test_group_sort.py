"""GroupSort of pairs: the same values in order, lengths and gradients kept."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_iqa_jax.functional.group_sort import max_min

X = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 6)), jnp.float32)


def test_pairs_are_sorted_and_nothing_else_moves():
    np.testing.assert_array_equal(
        max_min(X), np.sort(np.asarray(X).reshape(2, 3, 3, 2), -1)[..., ::-1].reshape(X.shape)
    )


def test_the_derivative_is_a_permutation():
    jacobian = np.asarray(jax.jacobian(max_min)(X[0, 0]))
    np.testing.assert_array_equal(jacobian @ jacobian.T, np.eye(6))


def test_an_odd_number_of_channels_is_refused():
    with pytest.raises(ValueError, match="an even number of channels expected, got 5"):
        max_min(X[..., :5])
