"""The resize: against Pillow's filter and exact sums in float64; in a program, and of a photo."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_models import quick_jit

from robust_iqa_jax.data.images import at_size, resize_image
from robust_iqa_jax.functional.resize import resize

jitted = quick_jit(resize, static_argnums=1)
RNG = np.random.default_rng(0)
SIZES = [((50, 70), (20, 30)), ((20, 30), (50, 70)), ((300, 7), (64, 64)), ((1, 1), (5, 4)), ((33, 33), (33, 10))]


def exact(photo, size):
    """The filter written out, in float64."""
    for axis, m in enumerate(size):
        n = photo.shape[axis]
        width = max(n / m, 1)
        lines = []
        for i in range(m):
            weights = np.maximum(0, 1 - np.abs(np.arange(n) - ((i + 0.5) * n / m - 0.5)) / width)
            lines.append(np.tensordot(weights / weights.sum(), photo, (0, axis)))
        photo = np.stack(lines, axis)
    return photo


@pytest.mark.parametrize(("size", "new"), SIZES)
def test_both_ways_to_resize_are_the_filter_written_out(size, new):
    pixels = RNG.integers(0, 256, (*size, 3)).astype(np.uint8)
    photo = pixels / 255
    expected = exact(photo, new)
    np.testing.assert_allclose(at_size(pixels, new), expected, atol=1e-6)
    np.testing.assert_allclose(jitted(jnp.asarray(photo, jnp.float32)[None], new)[0], expected, atol=1e-6)


@pytest.mark.parametrize(("size", "new"), SIZES)
def test_the_resize_is_pillow_s_before_its_rounding(size, new):
    pixels = RNG.integers(0, 256, (*size, 3)).astype(np.uint8)
    assert np.abs(255 * at_size(pixels, new) - resize_image(pixels, new)).max() <= 1.01


def test_a_photo_of_the_right_size_is_itself():
    pixels = RNG.integers(0, 256, (8, 9, 3)).astype(np.uint8)
    np.testing.assert_array_equal(at_size(pixels, (8, 9)), pixels / np.float32(255))
    images = jnp.asarray(pixels / np.float32(255))[None]
    assert resize(images, (8, 9)) is images


def test_the_gradient_is_the_transposed_filter():
    x, y = (RNG.normal(size=(1, *size, 3)).astype(np.float32) for size in ((9, 14), (5, 20)))
    value = lambda x: jnp.vdot(resize(x, (5, 20)), y)  # noqa: E731
    back = quick_jit(jax.grad(value))(x)
    assert float(np.vdot(back, x)) == pytest.approx(float(np.vdot(exact(x[0], (5, 20)), y)), rel=1e-4)


def test_half_precision_keeps_its_type_and_loses_no_more_than_one_rounding():
    images = jnp.asarray(RNG.uniform(size=(1, 200, 200, 3)), jnp.bfloat16)
    result = jitted(images, (10, 10))
    assert result.dtype == jnp.bfloat16
    expected = exact(np.asarray(images[0], np.float64), (10, 10))
    np.testing.assert_allclose(np.asarray(result[0], np.float64), expected, rtol=2**-8)
