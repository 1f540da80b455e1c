"""Convolutions with gradients of their own in every mode: forward, reverse, mapped over images, kernels or both."""

from functools import partial

import explicit_conv
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_models import quick_jit

from robust_iqa_jax.functional.conv2d import conv2d
from robust_iqa_jax.functional.depthwise import depthwise_conv
from robust_iqa_jax.functional.spectral import lag_gram
from robust_iqa_jax.work import work_of

SIZE = (4, 5)
CASES = {
    "3x3": (partial(conv2d, padding=1), partial(explicit_conv.convolve, padding=[(1, 1)] * 2), (3, 3, 4, 2)),
    "1x1": (conv2d, explicit_conv.convolve, (1, 1, 4, 2)),
    "strided": (partial(conv2d, stride=2), partial(explicit_conv.convolve, stride=2), (3, 2, 4, 2)),
    "grouped": (conv2d, explicit_conv.convolve, (1, 2, 2, 6)),
    "depthwise": (
        partial(depthwise_conv, stride=2),
        partial(explicit_conv.convolve, stride=2, padding=explicit_conv.same_pads(SIZE, (3, 3), 2)),
        (3, 3, 4),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_every_mode_is_that_of_the_definition(case):
    ours, theirs, shape = CASES[case]
    rng = np.random.default_rng(0)
    x, x_dot, x_bar, *images = rng.normal(size=(5, 2, *SIZE, 4))
    kernel, kernel_dot, kernel_bar, *kernels = rng.normal(size=(5, *shape))

    @quick_jit
    def everything(x, x_dot, kernel, kernel_dot, images, kernels):
        gradient = jax.grad(lambda x, kernel: jnp.sum(jnp.sin(ours(x, kernel))), (0, 1))
        return (
            jax.linearize(gradient, x, kernel)[1](x_dot, kernel_dot),
            jax.vmap(ours, (1, None))(images.swapaxes(0, 1), kernel),
            jax.vmap(ours, (None, 0))(x, kernels),
            jax.vmap(gradient, (0, None))(images, kernel),
            jax.vmap(gradient)(images, kernels),
        )

    with jax.enable_x64(True):
        arguments = (x, x_dot, kernel, kernel_dot, np.stack(images), np.stack(kernels))
        second, *mapped = everything(*map(jnp.asarray, arguments))

    def slope(x, kernel):
        """Of the loss, along (x_bar, kernel_bar)."""
        return np.vdot(np.cos(theirs(x, kernel)), theirs(x_bar, kernel) + theirs(x, kernel_bar))

    y, change = theirs(x, kernel), theirs(x_dot, kernel) + theirs(x, kernel_dot)
    along_bar, both = (
        theirs(x_bar, kernel) + theirs(x, kernel_bar),
        theirs(x_bar, kernel_dot) + theirs(x_dot, kernel_bar),
    )
    expected = np.vdot(-np.sin(y) * change, along_bar) + np.vdot(np.cos(y), both)
    np.testing.assert_allclose(np.vdot(second[0], x_bar) + np.vdot(second[1], kernel_bar), expected, rtol=1e-9)
    over_images, over_kernels, slopes_of_images, slopes_of_both = mapped
    for i in range(2):
        np.testing.assert_allclose(over_images[i], theirs(images[i], kernel), atol=1e-10)
        np.testing.assert_allclose(over_kernels[i], theirs(x, kernels[i]), atol=1e-10)
        for gradients, other in ((slopes_of_images, kernel), (slopes_of_both, kernels[i])):
            along = np.vdot(gradients[0][i], x_bar) + np.vdot(gradients[1][i], kernel_bar)
            np.testing.assert_allclose(along, slope(images[i], other), rtol=1e-9)


def test_lag_matrices_in_forward_mode_are_their_difference_quotient():
    rng = np.random.default_rng(0)

    @quick_jit
    def run(taps, change, back):
        value = lambda taps: lag_gram(taps)  # noqa: E731
        quotient = (lag_gram(taps + change) - lag_gram(taps - change)) / 2
        return jax.jvp(value, (taps,), (change,))[1], quotient, jax.vjp(value, taps)[1](back)[0]

    with jax.enable_x64(True):
        taps, change, back = (jnp.asarray(rng.normal(size=s)) for s in ((2, 2, 4, 5), (2, 2, 4, 5), (5, 4, 4)))
        slope, quotient, gradient = run(taps, change, back)
    np.testing.assert_allclose(slope, quotient, atol=1e-12)
    np.testing.assert_allclose(np.vdot(gradient, change), np.vdot(back, slope), rtol=1e-12)


def test_their_work_is_counted_as_what_they_do():
    x, kernel = jnp.ones((1, 6, 6, 4)), jnp.ones((3, 3, 4, 8))
    assert work_of(conv2d, x, kernel).flops >= 2 * 9 * 4 * 8 * 16


@pytest.mark.parametrize(("dtype", "case"), [("uint8", "1x1"), ("bfloat16", "1x1"), ("float64", "depthwise")])
def test_nothing_is_computed_in_less_than_float32(dtype, case):
    ours, theirs, shape = CASES[case]
    rng = np.random.default_rng(0)
    with jax.enable_x64(dtype == "float64"):
        x = jnp.asarray(rng.integers(0, 9, (1, *SIZE, 4))).astype(dtype)
        kernel = jnp.asarray(rng.normal(size=shape), jnp.float32)
        y = quick_jit(ours)(x, kernel)
    tolerance = 10 * float(jnp.finfo(y.dtype).eps) + 1e-5
    np.testing.assert_allclose(np.asarray(y, np.float64), theirs(x, kernel), rtol=tolerance, atol=20 * tolerance)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "bfloat16", "float16", "float64"])
def test_integers_are_read_as_float32_and_floats_keep_their_type(dtype):
    with jax.enable_x64(dtype == "float64"):
        x = jax.ShapeDtypeStruct((1, *SIZE, 4), dtype)
        expected = jnp.dtype("float32") if "int" in dtype else jnp.dtype(dtype)
        same = jax.eval_shape(depthwise_conv, x, jax.ShapeDtypeStruct((3, 3, 4), jnp.float32))
        wider = jax.eval_shape(conv2d, x, jax.ShapeDtypeStruct((3, 3, 4, 2), jnp.float32))
    assert same.dtype == expected
    assert wider.dtype == jnp.promote_types(expected, jnp.float32)
