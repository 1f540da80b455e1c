"""The convolution by products against XLA's own, forward, both gradients, and gradients of gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from robust_iqa_jax.functional.conv2d import conv2d

# kernel side, stride, padding, in, out, groups, map size: strides that leave pixels unseen, 1x1, few and many inputs
CASES = [
    (3, 1, 1, 4, 6, 1, (7, 9)),
    (3, 2, 1, 4, 6, 1, (8, 9)),
    (3, 2, 0, 70, 5, 1, (8, 6)),
    (3, 1, 1, 60, 4, 1, (5, 6)),
    (7, 2, 3, 3, 8, 1, (13, 16)),
    (1, 1, 0, 5, 7, 1, (4, 3)),
    (1, 2, 0, 600, 2, 1, (5, 4)),
    (3, 1, 1, 12, 8, 4, (6, 5)),
    (3, 2, 1, 8, 16, 8, (7, 6)),
]


def drawn(case):
    side, stride, padding, ci, co, groups, size = case
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, *size, ci)), rng.normal(size=(side, side, ci // groups, co))
    native = lambda x, k: lax.conv_general_dilated(  # noqa: E731
        x,
        k,
        (stride, stride),
        [(padding, padding)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )
    return jnp.asarray(x), jnp.asarray(kernel), native, lambda x, k: conv2d(x, k, stride, padding)


@pytest.mark.parametrize("case", CASES)
def test_value_and_gradients_equal_the_native_convolutions(case):
    with jax.enable_x64(True):
        x, kernel, native, ours = drawn(case)
        weights = jnp.asarray(np.random.default_rng(1).normal(size=jax.eval_shape(native, x, kernel).shape))

        def value_and_gradients(convolve):
            def loss(x, kernel):
                y = convolve(x, kernel)
                return jnp.vdot(weights, y), y

            (_, y), gradients = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))(x, kernel)
            return y, *gradients

        for found, expected in zip(value_and_gradients(ours), value_and_gradients(native), strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-11)


@pytest.mark.parametrize("case", [CASES[1], CASES[2], CASES[7]])
def test_gradient_of_a_gradient_norm_equals_the_native_one(case):
    with jax.enable_x64(True):
        x, kernel, native, ours = drawn(case)

        def penalty(convolve):
            return lambda k: jnp.sum(jax.grad(lambda x: jnp.sum(convolve(x, k) ** 3))(x) ** 2)

        expected = jax.jit(jax.grad(penalty(native)))(kernel)
        np.testing.assert_allclose(jax.jit(jax.grad(penalty(ours)))(kernel), expected, rtol=1e-9)
