"""Filters against scipy.ndimage and scikit-image, and their derivatives against differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage
from skimage.filters import unsharp_mask as skimage_unsharp

from robust_iqa_jax.functional.filters import gaussian_blur, median_filter, unsharp_mask, windowed_blur

IMAGES = np.random.default_rng(0).uniform(0, 1, (2, 13, 9, 3)).astype(np.float32)


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.5, 7.0])
def test_blur_equals_scipy(sigma):
    """At 7 the kernel is wider than the image, which is mirrored again and again."""
    wanted = ndimage.gaussian_filter(IMAGES.astype(np.float64), (0, sigma, sigma, 0), mode="reflect")
    np.testing.assert_allclose(gaussian_blur(IMAGES, sigma), wanted, atol=2e-6)


@pytest.mark.parametrize("side", [3, 17])
def test_a_blur_in_a_window_has_a_sigma_for_each_image(side):
    for result, image, sigma in zip(windowed_blur(IMAGES, np.float32([0.7, 30]), side), IMAGES, (0.7, 30), strict=True):
        border = side // 2
        wanted = ndimage.gaussian_filter(image.astype(np.float64), (sigma, sigma, 0), radius=(border, border, 0))
        np.testing.assert_allclose(result, wanted, atol=2e-6)


@pytest.mark.parametrize(("sigma", "amount"), [(1.0, 0.5), (2.0, 3.0)])
def test_unsharp_equals_skimage(sigma, amount):
    result = unsharp_mask(IMAGES, sigma, amount)
    for channel in range(3):
        wanted = skimage_unsharp(IMAGES[0, ..., channel].astype(np.float64), sigma, amount)
        np.testing.assert_allclose(result[0, ..., channel], wanted, atol=3e-6)


@pytest.mark.parametrize("side", [1, 3, 5])
def test_median_equals_scipy_and_skips_no_ties(side):
    for images in (IMAGES, np.round(IMAGES * 3) / 3):
        wanted = ndimage.median_filter(images, (1, side, side, 1), mode="reflect")
        np.testing.assert_array_equal(jax.jit(median_filter, static_argnums=1)(images, side), wanted)


@pytest.mark.slow
def test_derivative_of_the_median_is_that_of_differences():
    """A change too small to alter any order: the median is linear there."""
    direction = np.random.default_rng(1).normal(size=IMAGES.shape).astype(np.float32)
    with jax.enable_x64(True):
        x, d = jnp.asarray(IMAGES, jnp.float64), jnp.asarray(direction, jnp.float64)
        result, along = jax.jvp(lambda x: median_filter(x, 3), (x,), (d,))
        difference = (median_filter(x + 1e-9 * d, 3) - result) / 1e-9
        np.testing.assert_allclose(along, difference, atol=1e-5)
        weights = jnp.asarray(np.random.default_rng(2).normal(size=IMAGES.shape))
        pulled = jax.grad(lambda x: (weights * median_filter(x, 3)).sum())(x)
        assert float((pulled * d).sum()) == pytest.approx(float((weights * along).sum()))


def test_equal_pixels_share_the_derivative_of_a_median():
    gradient = jax.grad(lambda x: median_filter(x, 3)[0, 2, 2, 0])(jnp.full((1, 5, 5, 1), 0.5))
    np.testing.assert_allclose(gradient[0, 1:4, 1:4, 0], np.full((3, 3), 1 / 9), rtol=1e-6)
    assert float(gradient.sum()) == pytest.approx(1)


@pytest.mark.parametrize("side", [0, 2, -3])
def test_even_sides_are_refused(side):
    with pytest.raises(ValueError, match=f"an odd side of 1 or more expected, got {side}"):
        median_filter(IMAGES, side)
