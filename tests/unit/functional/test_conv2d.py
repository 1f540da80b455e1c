"""The convolution by products against its definition in numpy: value and both gradients; modes are in test_bilinear."""

import explicit_conv
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_models import quick_jit

from robust_iqa_jax.functional.conv2d import circular_conv, conv2d

# kernel sides, stride, padding, in, out, groups, map size: strides that leave pixels unseen, 1x1, few and many inputs
CASES = [
    ((3, 3), 1, (1, 1), 4, 6, 1, (4, 5)),
    ((3, 3), 2, (1, 1), 4, 6, 1, (6, 5)),
    ((3, 2), 2, (0, 0), 70, 5, 1, (6, 4)),
    ((1, 3), 1, (0, 1), 90, 4, 1, (3, 4)),
    ((7, 7), 2, (3, 3), 3, 2, 1, (8, 7)),
    ((1, 1), 1, (0, 0), 5, 7, 1, (4, 3)),
    ((1, 1), 2, (0, 0), 600, 2, 1, (5, 4)),
    ((3, 3), 1, (1, 1), 6, 4, 2, (4, 3)),
    ((3, 3), 2, (1, 1), 4, 8, 4, (5, 4)),
]


@pytest.mark.parametrize("case", CASES)
def test_value_and_gradients_are_those_of_the_definition(case):
    sides, stride, padding, ci, co, groups, size = case
    rng = np.random.default_rng(0)
    x, x_dot = rng.normal(size=(2, 2, *size, ci))
    kernel, kernel_dot = rng.normal(size=(2, *sides, ci // groups, co))
    convolve = lambda x, kernel: explicit_conv.convolve(x, kernel, stride, [(p, p) for p in padding])  # noqa: E731
    y = convolve(x, kernel)
    weights = rng.normal(size=y.shape)

    def loss(x, kernel):
        y = conv2d(x, kernel, stride, padding)
        return jnp.vdot(weights, y), y

    with jax.enable_x64(True):
        gradients, value = quick_jit(jax.grad(loss, argnums=(0, 1), has_aux=True))(jnp.asarray(x), jnp.asarray(kernel))
    np.testing.assert_allclose(value, y, atol=1e-11)
    # linear in each: the slope along a direction is the convolution of the direction
    for gradient, direction, change in zip(
        gradients, (x_dot, kernel_dot), (convolve(x_dot, kernel), convolve(x, kernel_dot)), strict=True
    ):
        np.testing.assert_allclose(np.vdot(gradient, direction), np.vdot(weights, change), rtol=1e-11)


@pytest.mark.parametrize("sides", [(3, 3), (2, 5)])
def test_a_circular_convolution_wraps_its_borders_as_often_as_it_takes(sides):
    rng = np.random.default_rng(0)
    x, taps = rng.normal(size=(2, 3, 2, 4)), rng.normal(size=(*sides, 4, 5))
    expected = sum(
        np.roll(x, ((sides[0] - 1) // 2 - r, (sides[1] - 1) // 2 - c), (1, 2)) @ taps[r, c]
        for r, c in np.ndindex(sides)
    )
    with jax.enable_x64(True):
        np.testing.assert_allclose(quick_jit(circular_conv)(jnp.asarray(x), jnp.asarray(taps)), expected, atol=1e-12)
    assert circular_conv(jnp.asarray(x, jnp.float32), jnp.zeros((3, 3, 4, 0))).shape == (2, 3, 2, 0)
