"""SSIM and MS-SSIM against scikit-image, a float64 transcription, closed forms and finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_models import quick_jit
from scipy.signal import correlate
from skimage import data
from skimage.metrics import structural_similarity

from robust_iqa_jax.functional.ssim import MS_SSIM_EXPONENTS, ms_ssim, ssim

jitted_ssim, jitted_ms_ssim = quick_jit(ssim), quick_jit(ms_ssim)

PHOTO = data.coffee()[100:289, 200:411] / 255


def spoiled(kind):
    generator = np.random.default_rng(0)
    return {
        "noise": np.clip(PHOTO + 0.1 * generator.standard_normal(PHOTO.shape), 0, 1),
        "dark": 0.5 * PHOTO,
        "shift": np.roll(PHOTO, 3, axis=1),
        "same": PHOTO,
    }[kind]


def maps_by_the_paper(x, y):
    """Luminance and contrast-structure maps of one channel, by the formulas of the 2004 paper in float64."""
    offsets = np.arange(11) - 5
    window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
    window /= window.sum()

    def mean(z):
        return correlate(z, window, mode="valid")

    mean_x, mean_y = mean(x), mean(y)
    luminance = (2 * mean_x * mean_y + 1e-4) / (mean_x**2 + mean_y**2 + 1e-4)
    variances = mean(x * x) - mean_x**2 + mean(y * y) - mean_y**2
    return luminance, (2 * (mean(x * y) - mean_x * mean_y) + 9e-4) / (variances + 9e-4)


def ms_ssim_by_the_paper(x, y):
    per_channel = []
    for a, b in zip(np.moveaxis(x, -1, 0), np.moveaxis(y, -1, 0), strict=True):
        product = 1.0
        for scale, exponent in enumerate(MS_SSIM_EXPONENTS):
            luminance, structure = maps_by_the_paper(a, b)
            product *= (luminance * structure if scale == 4 else structure).mean() ** exponent
            a, b = (
                z[: len(z) // 2 * 2 : 2, : z.shape[1] // 2 * 2 : 2] / 4
                + z[1::2, : z.shape[1] // 2 * 2 : 2] / 4
                + z[: len(z) // 2 * 2 : 2, 1::2] / 4
                + z[1::2, 1::2] / 4
                for z in (a, b)
            )
        per_channel.append(product)
    return np.mean(per_channel)


def batch(*images):
    return jnp.asarray(np.stack(images), jnp.float32)


@pytest.mark.parametrize("kind", ["noise", "dark", "shift", "same"])
def test_ssim_equals_scikit_image_with_the_published_settings(kind):
    # Its border crop is the window's radius: what is left are the whole windows.
    expected = structural_similarity(
        PHOTO,
        spoiled(kind),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1,
        channel_axis=-1,
    )
    np.testing.assert_allclose(
        jitted_ssim(batch(PHOTO), batch(spoiled(kind)))[0], expected, atol=2e-5
    )  # float32 variances


def test_ssim_and_ms_ssim_equal_the_transcription_of_the_papers():
    x, y = PHOTO, spoiled("noise")
    luminance, structure = maps_by_the_paper(x[..., 1], y[..., 1])
    np.testing.assert_allclose(
        jitted_ssim(batch(x[..., 1:2]), batch(y[..., 1:2]))[0], (luminance * structure).mean(), atol=2e-5
    )
    np.testing.assert_allclose(jitted_ms_ssim(batch(x), batch(y))[0], ms_ssim_by_the_paper(x, y), atol=2e-5)


def test_ms_ssim_drops_the_odd_row_and_column_like_the_transcription():
    x, y = PHOTO[:187, :179], spoiled("shift")[:187, :179]
    np.testing.assert_allclose(jitted_ms_ssim(batch(x), batch(y))[0], ms_ssim_by_the_paper(x, y), atol=2e-5)


def test_the_published_exponents_sum_to_one():
    assert sum(MS_SSIM_EXPONENTS) == pytest.approx(1, abs=2e-4)


def test_flat_images_differ_by_the_luminance_term_alone():
    x, y = jnp.full((2, 176, 176, 1), 0.3), jnp.full((2, 176, 176, 1), 0.6)
    luminance = (2 * 0.3 * 0.6 + 1e-4) / (0.3**2 + 0.6**2 + 1e-4)
    np.testing.assert_allclose(
        jitted_ssim(x, y), [luminance] * 2, rtol=1e-3
    )  # variance of a constant in float32 is not quite 0
    np.testing.assert_allclose(jitted_ms_ssim(x, y), [luminance ** MS_SSIM_EXPONENTS[-1]] * 2, rtol=1e-3)


@pytest.mark.parametrize("measure", [jitted_ssim, jitted_ms_ssim], ids=["ssim", "ms_ssim"])
def test_the_measure_is_one_for_equal_images_symmetric_and_independent_of_the_batch(measure):
    x, y = batch(PHOTO, spoiled("dark")), batch(spoiled("noise"), PHOTO)
    there = measure(x, y)
    assert there.shape == (2,)
    np.testing.assert_allclose(measure(x, x), 1, atol=1e-5)
    np.testing.assert_allclose(there, measure(y, x), atol=1e-5)
    np.testing.assert_allclose(there[::-1], measure(x[::-1], y[::-1]), atol=1e-5)


def test_the_gradient_equals_finite_differences_and_stays_finite_for_anti_correlated_images():
    x, y = batch(PHOTO), batch(spoiled("noise"))
    direction = spoiled("shift") - PHOTO
    step, gradient = 0.02, quick_jit(jax.grad(lambda x, y: ms_ssim(x, y)[0]))
    ends = [jitted_ms_ssim(batch(PHOTO + sign * step * direction), y)[0] for sign in (1, -1)]
    slope = np.vdot(gradient(x, y)[0], direction)
    np.testing.assert_allclose(slope, (ends[0] - ends[1]) / (2 * step), rtol=0.02)  # float32 values, a finite step
    assert np.isfinite(gradient(x, 1 - x)).all()
    assert 0 < jitted_ms_ssim(x, 1 - x)[0] < 0.1


@pytest.mark.parametrize(("measure", "side"), [(ssim, 10), (ms_ssim, 175)])
def test_an_image_that_is_too_small_is_refused_with_the_smallest_size(measure, side):
    x = jnp.zeros((1, side, 300, 3))
    with pytest.raises(ValueError, match=f"{side} x 300 are too small; each side needs {side + 1} pixels"):
        measure(x, x)


def test_images_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        ssim(jnp.zeros((1, 20, 20, 3)), jnp.zeros((1, 20, 20, 1)))
