"""Convolutions with gradients of their own in every mode: forward, reverse, mapped over images, kernels or both."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from robust_iqa_jax.functional.conv2d import conv2d
from robust_iqa_jax.functional.depthwise import depthwise_conv
from robust_iqa_jax.functional.spectral import lag_gram
from robust_iqa_jax.work import work_of

pytestmark = pytest.mark.usefixtures("hardly_optimised")


def native(x, kernel, stride, padding):
    kernel = kernel[:, :, None, :] if kernel.ndim == 3 else kernel
    groups = x.shape[-1] // kernel.shape[2]
    return lax.conv_general_dilated(
        x, kernel, (stride,) * 2, padding, dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups
    )


CASES = {
    "3x3": (partial(conv2d, padding=1), partial(native, stride=1, padding=((1, 1), (1, 1))), (3, 3, 4, 5)),
    "1x1": (conv2d, partial(native, stride=1, padding="VALID"), (1, 1, 4, 5)),
    "strided": (partial(conv2d, stride=2), partial(native, stride=2, padding="VALID"), (3, 2, 4, 5)),
    "grouped": (conv2d, partial(native, stride=1, padding="VALID"), (3, 3, 2, 6)),
    "depthwise": (partial(depthwise_conv, stride=2), partial(native, stride=2, padding="SAME"), (3, 3, 4)),
}


@pytest.mark.parametrize("case", CASES)
def test_every_mode_agrees_with_the_native_convolution(case):
    ours, theirs, shape = CASES[case]
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        x, x_dot, images = (jnp.asarray(rng.normal(size=size)) for size in ((2, 6, 7, 4),) * 2 + ((3, 2, 6, 7, 4),))
        kernel, kernel_dot, kernels = (jnp.asarray(rng.normal(size=size)) for size in (shape, shape, (3, *shape)))

        def loss(f):
            return lambda x, kernel: jnp.sum(jnp.sin(f(x, kernel)))

        def everything(f):
            gradient = jax.grad(loss(f), (0, 1))
            return (
                jax.jvp(f, (x, kernel), (x_dot, kernel_dot)),
                jax.jvp(gradient, (x, kernel), (x_dot, kernel_dot)),
                jax.vmap(f, (0, None))(images, kernel),
                jax.vmap(gradient, (0, None))(images, kernel),
                jax.vmap(f, (None, 0))(x, kernels),
                jax.vmap(gradient)(images, kernels),
                jax.linearize(f, x, kernel)[1](x_dot, kernel_dot),
            )

        found, right = everything(ours), everything(theirs)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-10), found, right)


def test_lag_matrices_in_forward_mode_are_their_difference_quotient():
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        taps, change, back = (jnp.asarray(rng.normal(size=s)) for s in ((3, 2, 4, 5), (3, 2, 4, 5), (8, 4, 4)))
        _, slope = jax.jvp(lag_gram, (taps,), (change,))
        np.testing.assert_allclose(slope, (lag_gram(taps + change) - lag_gram(taps - change)) / 2, atol=1e-12)
        gradient = jax.vjp(lag_gram, taps)[1](back)[0]
        np.testing.assert_allclose(jnp.sum(gradient * change), jnp.sum(back * slope), rtol=1e-12)


def test_their_work_is_counted_as_what_they_do():
    x, kernel = jnp.ones((1, 6, 6, 4)), jnp.ones((3, 3, 4, 8))
    assert work_of(conv2d, x, kernel).flops >= 2 * 9 * 4 * 8 * 16


@pytest.mark.parametrize("dtype", ["uint8", "int32", "bfloat16", "float16", "float64"])
@pytest.mark.parametrize("case", ["3x3", "depthwise"])
def test_integers_are_read_as_float32_and_floats_keep_their_type(case, dtype):
    ours, theirs, shape = CASES[case]
    rng = np.random.default_rng(0)
    with jax.enable_x64(dtype == "float64"):
        x = jnp.asarray(rng.integers(0, 9, (1, 5, 5, 4))).astype(dtype)
        kernel = jnp.asarray(rng.normal(size=shape), jnp.float32)
        y = ours(x, kernel)
        wide = theirs(x.astype(jnp.float32), kernel)
        assert jnp.issubdtype(y.dtype, jnp.floating)
        tolerance = 10 * float(jnp.finfo(y.dtype).eps) + 1e-5
        np.testing.assert_allclose(np.asarray(y, np.float32), wide, rtol=tolerance, atol=20 * tolerance)
