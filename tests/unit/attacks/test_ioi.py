"""IOI against a numpy transcription, what its two masks leave alone, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage
from small_score import gradient, images, score, value

from robust_iqa_jax.attacks.ioi import IOI, faint_part, texture

TEXTURE, FAINT = jax.jit(texture), jax.jit(faint_part, static_argnums=2)


def numpy_texture(image):
    """Deviation over mean of 3 x 3 pixels by scipy, over its largest, cut at a hundredth, square root."""
    mean = np.stack([ndimage.uniform_filter(channel, 3) for channel in image.transpose(2, 0, 1)], -1)
    squares = np.stack([ndimage.uniform_filter(channel**2, 3) for channel in image.transpose(2, 0, 1)], -1)
    share = np.zeros_like(image)
    share[1:-1, 1:-1] = (np.sqrt(np.maximum(squares - mean**2, 0)) / mean)[1:-1, 1:-1]
    share /= share.max()
    return np.sqrt(np.where(share < 0.01, 0, share))


def numpy_ioi(image, step_size, strong):
    """Low and high frequencies of the photo, the stepped one's high ones blended in by texture."""
    stepped = np.clip(image + step_size * np.sign(gradient(image[None])[0]), 0, 1)
    result = np.zeros_like(image)
    for c in range(3):
        spectrum = np.fft.fft2(image[..., c])
        border = np.sort(np.abs(spectrum).ravel())[int(np.floor((1 - strong) * spectrum.size))]
        weak = np.abs(spectrum) < border
        low, high = (np.fft.ifft2(spectrum * mask).real for mask in (~weak, weak))
        high_stepped = np.fft.ifft2(np.fft.fft2(stepped[..., c]) * weak).real
        f = numpy_texture(image)[..., c]
        result[..., c] = low + high_stepped * f + high * (1 - f)
    return np.clip(result, 0, 1)


@pytest.mark.parametrize("strong", [0.07, 0.4])
def test_equals_the_formula_written_in_numpy(strong):
    x = images().astype(np.float64)
    with jax.enable_x64(True):
        ours = IOI(0.1, strong=strong)(score, jax.random.key(0), jnp.asarray(x))
    expected = np.stack([numpy_ioi(image, 0.1, strong) for image in x])
    assert np.abs(expected - x).max() > 0.03
    np.testing.assert_allclose(ours, expected, atol=1e-10)
    assert (value(ours) > value(x)).all()


def test_strong_frequencies_of_the_photo_are_left_alone():
    x = np.random.default_rng(0).uniform(0, 1, (1, 8, 8, 3))
    with jax.enable_x64(True):
        change = np.asarray(FAINT(x, jnp.asarray(x[:, ::-1]), 0.25))
    photo, moved = np.abs(np.fft.fft2(x[0, ..., 0])), np.abs(np.fft.fft2(change[0, ..., 0]))
    strong = photo >= np.sort(photo.ravel())[48]
    assert moved[strong].max() < 1e-9
    assert moved[~strong].max() > 0.1


def test_a_photo_without_texture_is_not_changed():
    flat = np.full((1, 8, 9, 3), 0.3, np.float32)
    np.testing.assert_array_equal(TEXTURE(flat), 0)
    np.testing.assert_array_equal(IOI()(lambda x: x.sum((1, 2, 3)), jax.random.key(0), flat), flat)


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="strong must lie between 0 and 1, got 1"):
        IOI(strong=1)
    with pytest.raises(ValueError, match="step_size must be above 0"):
        IOI(0)
    with pytest.raises(ValueError, match="texture needs images of 3 x 3 pixels or more"):
        texture(jnp.zeros((1, 2, 5, 3)))
