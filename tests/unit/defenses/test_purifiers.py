"""Purifiers against Pillow, scipy and numpy; straight-through derivatives are what they say, and so are the draws."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from quick_models import quick_jit
from scipy import ndimage
from skimage import data

from robust_iqa_jax.defenses.purifiers import BitDepth, Blur, Jpeg, Median, Resize, Unsharp
from robust_iqa_jax.defenses.random_purifiers import Crop, Flip, Noise, RandomResize, Rotate, rotated, shrunk_and_back
from robust_iqa_jax.functional.resize import resize

PIXELS = np.stack([data.coffee()[100:148, 150:202], data.astronaut()[60:108, 180:232]])
IMAGES = PIXELS.astype(np.float32) / 255
KEYS = jax.random.split(jax.random.key(0), 2)
DETERMINISTIC = (Jpeg(), Blur(), Median(), Resize(), BitDepth(), Unsharp())
RANDOM = (Crop(), Flip(), Rotate(), RandomResize(), Noise())
SAMPLE = 400


@pytest.mark.parametrize("purifier", [*DETERMINISTIC, *RANDOM], ids=lambda p: p.name)
def test_purified_images_have_the_shape_type_and_range_and_a_gradient(purifier):
    @quick_jit
    def purified(x):
        result, pull = jax.vjp(lambda x: purifier(KEYS, x), x)
        return result, pull(jnp.ones_like(result))[0]

    result, gradient = purified(IMAGES)
    assert (result.shape, result.dtype) == (IMAGES.shape, IMAGES.dtype)
    assert 0 <= float(result.min()) <= float(result.max()) <= 1
    assert float((gradient != 0).mean()) > 0.5
    assert bool(jnp.isfinite(gradient).all())


@pytest.mark.parametrize("purifier", DETERMINISTIC, ids=lambda p: p.name)
def test_purifiers_that_do_not_draw_look_at_no_key(purifier):
    assert not purifier.random
    purified = quick_jit(lambda x: (purifier(KEYS, x), purifier(None, x)))
    np.testing.assert_array_equal(*purified(IMAGES))


@pytest.mark.parametrize("purifier", RANDOM, ids=lambda p: p.name)
def test_each_image_has_its_own_draw_from_its_own_key(purifier):
    assert purifier.random
    twice = jnp.repeat(jnp.asarray(IMAGES[:1]), 8, 0)
    keys = jax.random.split(jax.random.key(1), 8)
    purified = quick_jit(purifier)
    results = np.asarray(purified(keys, twice))
    assert len({result.tobytes() for result in results}) > 1
    for i in (0, 7):
        np.testing.assert_allclose(purified(keys[i : i + 1], IMAGES[:1])[0], results[i], atol=1e-6)


def test_jpeg_is_pillows():
    file = io.BytesIO()
    Image.fromarray(PIXELS[0]).save(file, "JPEG", quality=40)
    wanted = np.asarray(Image.open(file)).astype(int)
    assert np.abs(np.round(np.asarray(quick_jit(Jpeg(40))(KEYS, IMAGES))[0] * 255) - wanted).mean() < 0.2


def test_resize_is_pillows_twice():
    channels = []
    for channel in range(3):
        picture = Image.fromarray(np.ascontiguousarray(IMAGES[0, ..., channel]))
        small = picture.resize((26, 24), Image.Resampling.BILINEAR)
        channels.append(np.asarray(small.resize((52, 48), Image.Resampling.BILINEAR)))
    np.testing.assert_allclose(Resize(0.5)(KEYS, IMAGES)[0], np.stack(channels, -1), atol=1e-5)


@pytest.mark.parametrize("bits", [1, 3, 8])
def test_bit_depth_is_the_nearest_level_and_its_derivative_the_identity(bits):
    levels = np.linspace(0, 1, 2**bits)
    nearest = levels[np.abs(IMAGES[..., None].astype(np.float64) - levels).argmin(-1)]
    np.testing.assert_allclose(BitDepth(bits)(KEYS, IMAGES), nearest, atol=1e-6)
    weights = np.random.default_rng(0).normal(size=IMAGES.shape).astype(np.float32)
    gradient = jax.grad(lambda x: (weights * BitDepth(bits)(KEYS, x)).sum())(jnp.asarray(IMAGES))
    np.testing.assert_array_equal(gradient, weights)


@pytest.mark.parametrize("purifier", [Resize(0.4), Rotate(20), RandomResize(0.3), Crop(0.6)], ids=lambda p: p.name)
def test_derivatives_of_linear_purifiers_are_the_map_itself(purifier):
    direction = np.random.default_rng(1).normal(size=IMAGES.shape).astype(np.float32) / 20
    middle = 0.25 + IMAGES / 2  # no pixel is cut
    purified = lambda x: purifier(KEYS, x)  # noqa: E731
    result, along = quick_jit(lambda x, t: jax.jvp(purified, (x,), (t,)))(middle, direction)
    np.testing.assert_allclose(quick_jit(purified)(middle + direction) - result, along, atol=2e-6)


@pytest.mark.parametrize("degrees", [-30.0, 4.0, 90.0])
def test_rotation_is_scipys(degrees):
    wanted = ndimage.rotate(IMAGES[0].astype(np.float64), degrees, reshape=False, order=1, mode="mirror")
    np.testing.assert_allclose(rotated(IMAGES[0], jnp.deg2rad(degrees)), wanted, atol=1e-4)


@pytest.mark.parametrize("share", [0.31, 0.5, 1.0])
def test_a_traced_resize_is_the_static_one(share):
    h, w = IMAGES.shape[1:3]
    wanted = resize(resize(IMAGES, (round(share * h), round(share * w))), (h, w))
    np.testing.assert_allclose(jax.jit(shrunk_and_back)(IMAGES[0], jnp.float32(share)), wanted[0], atol=1e-5)


def test_a_crop_is_a_window_and_all_windows_come_up():
    """Of an image whose red is the row and whose green is the column; resizing keeps the mean of a linear ramp."""
    rows, columns = np.mgrid[:8, :8].astype(np.float32) / 8
    ramp = np.stack([rows, columns, 0 * rows], -1)
    keys = jax.random.split(jax.random.key(2), SAMPLE)
    means = np.asarray(Crop(0.75)(keys, np.broadcast_to(ramp, (SAMPLE, 8, 8, 3)))).mean((1, 2))[:, :2]
    corners = np.round(means * 8 - 2.5).astype(int)
    counts = np.zeros((3, 3))
    np.add.at(counts, tuple(corners.T), 1)
    assert counts.min() > 0.5 * SAMPLE / 9


def test_flips_mirror_a_share_of_the_images():
    keys = jax.random.split(jax.random.key(3), SAMPLE)
    image = np.linspace(0, 1, 4, dtype=np.float32).reshape(1, 1, 4, 1)
    results = np.asarray(Flip(0.25)(keys, np.broadcast_to(image, (SAMPLE, 1, 4, 1))))
    mirrored = (results == image[:, :, ::-1]).all((1, 2, 3))
    assert ((results == image).all((1, 2, 3)) | mirrored).all()
    assert mirrored.mean() == pytest.approx(0.25, abs=0.08)


def test_noise_has_its_standard_deviation():
    noise = np.asarray(Noise(0.03)(KEYS, np.full((2, 60, 60, 3), 0.5, np.float32))) - 0.5
    assert noise.std() == pytest.approx(0.03, rel=0.03)


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (Jpeg, 0, "jpeg: quality from 1 to 100 expected, got 0"),
        (Blur, -1.0, "blur: standard deviation above 0 and up to 100 pixels expected, got -1"),
        (Median, 4, "median: side of 3, 5 or 7 pixels expected, got 4"),
        (Resize, 1.0, "resize: share of the sides above 0 and below 1 expected, got 1"),
        (BitDepth, 2.5, "bits: whole number from 1 to 8 expected, got 2.5"),
        (Unsharp, 0.0, "unsharp: amount above 0 and up to 100 expected, got 0"),
        (Crop, 0.0, "crop: share of the sides above 0 and below 1 expected, got 0"),
        (Flip, 2.0, "flip: chance above 0 and up to 1 expected, got 2"),
        (Rotate, 200.0, "rotate: angle above 0 and up to 180 degrees expected, got 200"),
        (RandomResize, float("nan"), "random-resize: share of the sides above 0 and below 1 expected, got nan"),
        (Noise, float("inf"), "noise: standard deviation above 0 and up to 1 expected, got inf"),
    ],
)
def test_parameters_of_no_use_are_refused(kind, value, message):
    with pytest.raises(ValueError, match=f"defense: {message}"):
        kind(value)
