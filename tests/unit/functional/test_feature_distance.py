"""The distance in features against numpy loops; gradients stay finite; what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from quick_models import quick_jit

from robust_iqa_jax.functional.feature_distance import feature_distance

X, Y = np.random.default_rng(0).uniform(0, 1, (2, 3, 8, 6, 3)).astype(np.float32)
MIX = np.random.default_rng(1).normal(size=(3, 5)).astype(np.float32)


def features(weights, x):
    return {"fine": jax.nn.relu(x @ weights), "coarse": x[:, ::2, ::2] @ weights}


def by_numpy(tap, x):
    return np.maximum(x @ MIX, 0) if tap == "fine" else x[::2, ::2] @ MIX


def by_loops(x, y):
    total = 0.0
    for tap in ("fine", "coarse"):
        one, two = (by_numpy(tap, v.astype(np.float64)) for v in (x, y))
        summed = 0.0
        for i in range(one.shape[0]):
            for j in range(one.shape[1]):
                u, v = one[i, j], two[i, j]
                summed += ((u / np.linalg.norm(u) - v / np.linalg.norm(v)) ** 2).sum()
        total += summed / (one.shape[0] * one.shape[1])
    return total / 2


def test_equals_loops_over_positions_with_a_function_and_with_a_pytree():
    expected = [by_loops(x, y) for x, y in zip(X, Y, strict=True)]
    for distance in (feature_distance(lambda x: features(MIX, x)), feature_distance(Partial(features, MIX))):
        np.testing.assert_allclose(quick_jit(lambda x, y, d=distance: d(x, y))(X, Y), expected, rtol=1e-4)


def test_equal_images_are_at_zero_and_dead_positions_have_finite_gradients():
    distance = feature_distance(lambda x: [jax.nn.relu(x - 0.5)])
    np.testing.assert_array_equal(quick_jit(distance)(X, X), np.zeros(3))
    gradient = quick_jit(jax.grad(lambda y: distance(X, y).sum()))(np.zeros_like(X))
    assert np.isfinite(gradient).all()


def test_weights_of_a_pytree_are_arguments_of_the_program():
    traces = []

    @quick_jit
    def run(distance):
        traces.append(1)
        return distance(X, Y)

    one, other = (run(feature_distance(Partial(features, jnp.asarray(w)))) for w in (MIX, MIX[::-1]))
    assert len(traces) == 1
    assert np.abs(np.asarray(one - other)).max() > 1e-3


def test_features_that_are_not_maps_are_refused():
    with pytest.raises(ValueError, match=r"maps \(n, h, w, c\) of 6 images expected, got \[\(6, 3\)\]"):
        feature_distance(lambda x: [x.mean((1, 2))])(X, Y)
