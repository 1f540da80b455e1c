"""Straight through: the exact value bit for bit, the smooth function's derivative."""

import jax
import jax.numpy as jnp
import numpy as np

from robust_iqa_jax.functional.straight_through import straight_through

X = jnp.asarray(np.random.default_rng(0).uniform(-1e4, 1e4, 500), jnp.float32)


def rounded(x):
    return straight_through(jnp.round(x / 7) * 7, x**2)


def test_value_is_exact_and_derivative_the_smooth_functions_in_any_mode_and_order():
    np.testing.assert_array_equal(jax.jit(rounded)(X), jnp.round(X / 7) * 7)
    np.testing.assert_allclose(jax.grad(lambda x: rounded(x).sum())(X), 2 * X, rtol=1e-6)
    np.testing.assert_allclose(jax.jvp(rounded, (X,), (jnp.ones_like(X),))[1], 2 * X, rtol=1e-6)
    second = jax.vmap(jax.grad(jax.grad(rounded)))(X)
    np.testing.assert_allclose(second, np.full(500, 2), rtol=1e-6)
