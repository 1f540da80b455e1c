"""depthwise_conv and its gradients agree with a float64 numpy loop and with XLA's grouped convolution.
Both implementations, by taps and native, are tested on whatever platform runs the tests."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_models import quick_jit

from robust_iqa_jax.functional import depthwise
from robust_iqa_jax.functional.depthwise import depthwise_conv

# (height, width), kernel, stride: odd and even sides, one pixel, maps smaller than the kernel, stride over kernel.
CASES = [
    ((8, 8), 3, 1),
    ((9, 7), 5, 1),
    ((8, 6), 3, 2),
    ((7, 9), 5, 2),
    ((11, 10), 3, 3),
    ((6, 7), 2, 3),
    ((5, 4), 4, 1),
    ((2, 3), 5, 1),
    ((3, 2), 5, 2),
    ((1, 1), 3, 2),
    ((6, 5), 1, 1),
]
cases = pytest.mark.parametrize(("size", "kernel_size", "stride"), CASES)


def draw(size, kernel_size, n=2, c=3, dtype=np.float32):
    rng = np.random.default_rng(sum(size) + kernel_size)
    return rng.normal(size=(n, *size, c)).astype(dtype), rng.normal(size=(kernel_size, kernel_size, c)).astype(dtype)


def loop_reference(x, kernel, stride, padding):
    """Direct definition in float64: one output pixel at a time."""
    x, kernel, k = x.astype(np.float64), kernel.astype(np.float64), kernel.shape[0]
    sides = []
    for n in x.shape[1:3]:
        out = -(-n // stride) if padding == "SAME" else (n - k) // stride + 1
        total = max((out - 1) * stride + k - n, 0)
        sides.append((out, total // 2, total - total // 2))
    (rows, top, bottom), (columns, left, right) = sides
    x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    y = np.zeros((x.shape[0], rows, columns, x.shape[3]))
    for i in range(rows):
        for j in range(columns):
            window = x[:, i * stride : i * stride + k, j * stride : j * stride + k]
            y[:, i, j] = (window * kernel).sum((1, 2))
    return y


def grouped_conv(x, kernel, stride, padding="SAME"):
    dims = ("NHWC", "HWIO", "NHWC")
    strides = (stride, stride)
    return jax.lax.conv_general_dilated(
        x, kernel[:, :, None], strides, padding, dimension_numbers=dims, feature_group_count=x.shape[-1]
    )


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@cases
def test_it_equals_the_definition_in_float64(size, kernel_size, stride, padding):
    if padding == "VALID":
        size = tuple(max(n, kernel_size) for n in size)
    x, kernel = draw(size, kernel_size)
    expected = loop_reference(x, kernel, stride, padding)
    y = quick_jit(depthwise_conv, static_argnums=(2, 3))(jnp.asarray(x), jnp.asarray(kernel), stride, padding)
    # float32 sums of at most 25 products of order one.
    np.testing.assert_allclose(y, expected, atol=1e-5)


@cases
def test_value_and_gradients_equal_those_of_the_grouped_convolution(size, kernel_size, stride):
    x, kernel = map(jnp.asarray, draw(size, kernel_size))
    sides = (-(-n // stride) for n in size)
    ct = jnp.asarray(np.random.default_rng(1).normal(size=(2, *sides, 3)), jnp.float32)

    def value_and_vjp(conv):
        y, vjp = jax.vjp(lambda x, k: conv(x, k, stride), x, kernel)
        return y, *vjp(ct)

    got, want = (quick_jit(functools.partial(value_and_vjp, conv))() for conv in (depthwise_conv, grouped_conv))
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


@cases
def test_the_native_branch_of_accelerators_equals_the_taps(size, kernel_size, stride):
    x, kernel = map(jnp.asarray, draw(size, kernel_size))
    pads = tuple(depthwise._same_pads(n, kernel_size, stride) for n in size)
    taps = quick_jit(functools.partial(depthwise._tap_sum, stride=stride, pads=pads))(x, kernel)
    np.testing.assert_allclose(depthwise._native(x, kernel, stride, pads), taps, atol=1e-5)


@pytest.mark.parametrize(("size", "kernel_size", "stride"), [((7, 6), 3, 1), ((6, 7), 5, 2)])
def test_second_order_gradients_equal_those_of_the_grouped_convolution(size, kernel_size, stride):
    x, kernel = map(jnp.asarray, draw(size, kernel_size))

    def penalty(conv, x, kernel):
        loss = lambda x, kernel: jnp.sum(jnp.tanh(conv(x, kernel, stride)) ** 2)  # noqa: E731
        dx, dk = jax.grad(loss, (0, 1))(x, kernel)
        return jnp.sum(dx**2) + jnp.sum(dk**2)

    got = quick_jit(jax.grad(functools.partial(penalty, depthwise_conv), (0, 1)))(x, kernel)
    want = quick_jit(jax.grad(functools.partial(penalty, grouped_conv), (0, 1)))(x, kernel)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4 * float(jnp.abs(b).max()))


@pytest.mark.parametrize("stride", [1, 2])
def test_it_is_the_same_under_jit_vmap_and_pmap_with_gradients(stride):
    x, kernel = map(jnp.asarray, draw((6, 7), 3, n=4))
    gradients = jax.grad(lambda x, k: jnp.sum(depthwise_conv(x, k, stride) ** 2), (0, 1))
    want = gradients(x, kernel)
    each = (x[:, None], jnp.broadcast_to(kernel, (4, *kernel.shape)))
    got_vmap = jax.vmap(gradients)(*each)
    per_device = [a.reshape(1, 4, *a.shape[1:]) for a in each]
    got_pmap = jax.pmap(jax.vmap(gradients), devices=jax.devices()[:1])(*per_device)
    for dx, dk in (quick_jit(gradients)(x, kernel), (got_vmap[0], got_vmap[1].sum(0))):
        np.testing.assert_allclose(dx.reshape(x.shape), want[0], atol=1e-5)
        np.testing.assert_allclose(dk, want[1], rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(got_pmap[0].reshape(x.shape), want[0], atol=1e-5)
    np.testing.assert_allclose(got_pmap[1][0].sum(0), want[1], rtol=1e-5, atol=1e-4)


def test_it_shifts_with_its_input():
    x, kernel = draw((10, 12), 3)
    x[:, :2], x[:, -3:], x[:, :, :2], x[:, :, -4:] = 0, 0, 0, 0
    shifted = np.roll(x, (1, 2), (1, 2))
    y, y_shifted = (depthwise_conv(jnp.asarray(a), jnp.asarray(kernel)) for a in (x, shifted))
    np.testing.assert_allclose(np.roll(y, (1, 2), (1, 2)), y_shifted, atol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_the_result_and_the_gradient_keep_the_type_of_the_input(dtype):
    x, kernel = map(jnp.asarray, draw((5, 6), 3))
    y, vjp = jax.vjp(depthwise_conv, x.astype(dtype), kernel)
    dx, dk = vjp(jnp.ones_like(y))
    assert (y.dtype, dx.dtype, dk.dtype) == (dtype, dtype, jnp.float32)
    np.testing.assert_allclose(y.astype(np.float32), depthwise_conv(x, kernel), atol=0.1)


def test_gradients_of_kernels_are_summed_in_more_than_eight_bits():
    ones = jnp.ones((1, 64, 64, 1), jnp.bfloat16)
    _, vjp = jax.vjp(lambda kernel: depthwise_conv(ones, kernel), jnp.ones((3, 3, 1)))
    assert float(vjp(ones)[0][1, 1, 0]) == 64 * 64  # a sum of ones in bfloat16 ends at 256


def test_float64_is_computed_in_float64():
    x, kernel = draw((7, 8), 5, dtype=np.float64)
    with jax.enable_x64(True):
        y = depthwise_conv(jnp.asarray(x), jnp.asarray(kernel), 2)
    np.testing.assert_allclose(y, loop_reference(x, kernel, 2, "SAME"), rtol=1e-12, atol=1e-12)


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
