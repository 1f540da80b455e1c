"""The resize: against Pillow's filter and exact sums in float64; of a photo alone, and in a program."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from quick_models import quick_jit

from robust_iqa_jax.functional.resize import resize, resize_photo

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
    photo = RNG.uniform(size=(*size, 3)).astype(np.float32)
    expected = exact(photo.astype(np.float64), new)
    np.testing.assert_allclose(resize_photo(photo, new), expected, atol=1e-6)
    np.testing.assert_allclose(jitted(jnp.asarray(photo)[None], new)[0], expected, atol=1e-6)
    np.testing.assert_allclose(resize_photo(photo.astype(np.float64), new), expected, atol=1e-12)


@pytest.mark.parametrize(("size", "new"), SIZES)
def test_the_resize_is_pillow_s_before_its_rounding(size, new):
    pixels = RNG.integers(0, 256, (*size, 3)).astype(np.uint8)
    expected = np.asarray(Image.fromarray(pixels).resize(new[::-1], Image.Resampling.BILINEAR))
    assert np.abs(resize_photo(pixels.astype(np.float32), new) - expected).max() <= 1.01


def test_a_photo_of_the_right_size_is_itself():
    photo = RNG.uniform(size=(8, 9, 3)).astype(np.float32)
    assert resize_photo(photo, (8, 9)) is photo
    images = jnp.asarray(photo)[None]
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
