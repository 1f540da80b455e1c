"""depthwise_conv and its gradients agree with the definition in float64 numpy; further modes are in test_bilinear.
Both implementations, by taps and native, are tested on whatever platform runs the tests."""

import explicit_conv
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_models import quick_jit

from robust_iqa_jax.functional import depthwise
from robust_iqa_jax.functional.depthwise import depthwise_conv

# (height, width), kernel, stride: odd and even sides, one pixel, maps smaller than the kernel, stride over kernel.
CASES = [
    ((6, 5), 3, 1),
    ((5, 4), 3, 2),
    ((7, 6), 5, 2),
    ((6, 7), 2, 3),
    ((4, 3), 4, 1),
    ((2, 3), 5, 2),
    ((1, 1), 3, 2),
    ((3, 4), 1, 1),
]


def draw(size, kernel_size, n=2, c=3):
    rng = np.random.default_rng(sum(size) + kernel_size)
    return rng.normal(size=(n, *size, c)), rng.normal(size=(kernel_size, kernel_size, c))


@pytest.mark.parametrize(("size", "kernel_size", "stride"), CASES)
def test_value_gradients_and_the_native_branch_are_those_of_the_definition(size, kernel_size, stride):
    (x, kernel), (x_dot, kernel_dot) = draw(size, kernel_size), draw(size, kernel_size)
    x_dot, kernel_dot = x_dot[:, ::-1] + 1, kernel_dot[::-1] - 1
    pads = explicit_conv.same_pads(size, (kernel_size,) * 2, stride)
    convolve = lambda x, kernel: explicit_conv.convolve(x, kernel, stride, pads)  # noqa: E731
    y = convolve(x, kernel)
    weights = np.random.default_rng(1).normal(size=y.shape)

    def loss(x, kernel):
        y = depthwise_conv(x, kernel, stride)
        return jnp.vdot(weights, y), (y, depthwise._native(x, kernel, stride, tuple(pads)))

    with jax.enable_x64(True):
        gradients, (taps, native) = quick_jit(jax.grad(loss, (0, 1), has_aux=True))(x, kernel)
    np.testing.assert_allclose(taps, y, atol=1e-12)
    np.testing.assert_allclose(native, y, atol=1e-12)
    # linear in each: the slope along a direction is the convolution of the direction
    for gradient, direction, change in zip(
        gradients, (x_dot, kernel_dot), (convolve(x_dot, kernel), convolve(x, kernel_dot)), strict=True
    ):
        np.testing.assert_allclose(np.vdot(gradient, direction), np.vdot(weights, change), rtol=1e-11)


@pytest.mark.parametrize(("size", "kernel_size", "stride"), [((6, 5), 3, 2), ((3, 3), 3, 1)])
def test_a_valid_convolution_pads_nothing(size, kernel_size, stride):
    x, kernel = draw(size, kernel_size)
    y = quick_jit(depthwise_conv, static_argnums=(2, 3))(x.astype(np.float32), kernel, stride, "VALID")
    np.testing.assert_allclose(y, explicit_conv.convolve(x, kernel, stride), atol=1e-5)


def test_gradients_are_the_same_on_each_device_of_a_mapped_program():
    x, kernel = (np.asarray(a, np.float32) for a in draw((4, 5), 3))
    gradients = jax.grad(lambda x, k: jnp.sum(depthwise_conv(x, k, 2) ** 2), (0, 1))
    of_all = quick_jit(gradients)(x, kernel)
    of_each = jax.pmap(gradients, devices=jax.devices()[:1])(x[None], kernel[None])
    for whole, mapped in zip(of_all, of_each, strict=True):
        np.testing.assert_allclose(mapped[0], whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_the_result_and_the_gradient_keep_the_type_of_the_input(dtype):
    x, kernel = (np.asarray(a, np.float32) for a in draw((5, 6), 3))

    @quick_jit
    def run(x, kernel):
        y, vjp = jax.vjp(depthwise_conv, x, kernel)
        return y, *vjp(jnp.ones_like(y))

    y, dx, dk = run(x.astype(dtype), kernel)
    assert (y.dtype, dx.dtype, dk.dtype) == (dtype, dtype, jnp.float32)
    pads = explicit_conv.same_pads((5, 6), (3, 3), 1)
    np.testing.assert_allclose(np.asarray(y, np.float32), explicit_conv.convolve(x, kernel, 1, pads), atol=0.1)


def test_gradients_of_kernels_are_summed_in_more_than_eight_bits():
    ones = jnp.ones((1, 64, 64, 1), jnp.bfloat16)
    gradient = jax.grad(lambda kernel: depthwise_conv(ones, kernel).sum(dtype=jnp.float32))
    assert float(quick_jit(gradient)(jnp.ones((3, 3, 1)))[1, 1, 0]) == 64 * 64  # a sum of ones in bfloat16 ends at 256


@pytest.mark.parametrize(
    ("x", "kernel", "stride", "padding", "message"),
    [
        ((1, 8, 8, 3), (3, 3, 4), 1, "SAME", "expected"),
        ((1, 8, 8, 3), (3, 5, 3), 1, "SAME", "expected"),
        ((8, 8, 3), (3, 3, 3), 1, "SAME", "expected"),
        ((1, 8, 8, 3), (3, 3, 3), 0, "SAME", "stride"),
        ((1, 8, 8, 3), (3, 3, 3), 1, "FULL", "padding"),
        ((1, 2, 8, 3), (3, 3, 3), 1, "VALID", "does not fit"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(x, kernel, stride, padding, message):
    with pytest.raises(ValueError, match=f"depthwise_conv: .*{message}"):
        depthwise_conv(jnp.zeros(x), jnp.zeros(kernel), stride, padding)
