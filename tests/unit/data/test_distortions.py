"""Distortions: stronger at each level on a real photo, deterministic, and each of its own kind."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

from robust_iqa_jax.data.distorted_photos import pseudo_mos
from robust_iqa_jax.data.distortions import DISTORTIONS
from robust_iqa_jax.functional.ssim import ms_ssim

PHOTOS = (data.chelsea()[50:238, 100:288], data.coffee()[100:288, 200:388])
KINDS = sorted(DISTORTIONS)
COLOUR_KINDS = {"desaturate", "colour_cast"}  # the luma is untouched, but for clipping


structural = jax.jit(ms_ssim)


@cache
def levels(kind, photo):
    """All five levels of PHOTOS[photo] in the same random direction, so that only the level differs."""
    return [DISTORTIONS[kind](PHOTOS[photo], level, np.random.default_rng(0)) for level in range(1, 6)]


def in_unit_range(images):
    return jnp.asarray(np.stack(images), jnp.float32) / 255


@pytest.mark.parametrize("kind", KINDS)
def test_quality_falls_with_each_level(kind):
    """By PSNR and by MS-SSIM on average over photos (PSNR for changes of colour, which structure hardly shows)."""
    psnr, structure = np.zeros(5), np.zeros(5)
    for place, photo in enumerate(PHOTOS):
        images = levels(kind, place)
        psnr += [peak_signal_noise_ratio(photo, image) for image in images]
        structure += np.asarray(structural(in_unit_range([photo] * 5), in_unit_range(images)))
    assert (np.diff(psnr) < 0).all()
    assert kind in COLOUR_KINDS or (np.diff(structure) < 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_pseudo_score_falls_with_each_level(kind):
    scores = sum(pseudo_mos(photo, np.stack(levels(kind, place))) for place, photo in enumerate(PHOTOS))
    assert (np.diff(scores) < 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_result_is_8_bit_of_the_same_shape_and_the_input_is_left_alone(kind):
    photo = PHOTOS[0][:61, :83].copy()
    for level in range(1, 6):
        image = DISTORTIONS[kind](photo, level, np.random.default_rng(0))
        assert image.dtype == np.uint8
        assert image.shape == photo.shape
        assert (image != photo).any()
    np.testing.assert_array_equal(photo, PHOTOS[0][:61, :83])


@pytest.mark.parametrize("kind", KINDS)
def test_a_distortion_is_deterministic_in_its_generator_and_the_same_for_float_pixels(kind):
    photo = PHOTOS[0][:64, :64]
    first, again, from_float = (
        DISTORTIONS[kind](image, 3, np.random.default_rng(7)) for image in (photo, photo, photo / 255)
    )
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, from_float)


@pytest.mark.parametrize(
    "kind", ["gaussian_noise", "chroma_noise", "impulse_noise", "motion_blur", "colour_cast", "patches"]
)
def test_kinds_that_draw_differ_by_generator(kind):
    first, other = (DISTORTIONS[kind](PHOTOS[0], 3, np.random.default_rng(seed)) for seed in (0, 1))
    assert (first != other).any()


def test_noise_has_the_standard_deviation_of_its_table():
    grey = np.full((200, 200, 3), 0.5)
    for level, sigma in enumerate(DISTORTIONS["gaussian_noise"].parameters, start=1):
        image = DISTORTIONS["gaussian_noise"](grey, level, np.random.default_rng(0)) / 255
        assert image.std() == pytest.approx(sigma, rel=0.03)


def test_changes_of_colour_keep_the_luma_of_grey():
    grey = np.full((32, 32, 3), 0.5)
    for kind in ("colour_cast", "chroma_noise", "desaturate"):
        luma = DISTORTIONS[kind](grey, 2, np.random.default_rng(0)) @ np.array([0.299, 0.587, 0.114])
        np.testing.assert_allclose(luma, 127.5, atol=1)


def test_the_strongest_desaturation_is_grey_and_one_stop_doubles_linear_light():
    grey = DISTORTIONS["desaturate"](PHOTOS[1], 5, np.random.default_rng(0)).astype(int)
    assert np.ptp(grey, axis=-1).max() == 0
    dark = DISTORTIONS["under_exposure"](np.full((4, 4, 3), 0.5), 2, np.random.default_rng(0))
    assert DISTORTIONS["under_exposure"].parameters[1] == -1
    assert dark[0, 0, 0] == round(255 * (1.055 * (((0.5 + 0.055) / 1.055) ** 2.4 / 2) ** (1 / 2.4) - 0.055))


def test_a_flat_picture_stays_flat_under_blur_and_sharpening():
    flat = np.full((40, 40, 3), 90, np.uint8)
    for kind in ("gaussian_blur", "motion_blur", "over_sharpen", "pixelate", "low_contrast", "patches"):
        np.testing.assert_array_equal(DISTORTIONS[kind](flat, 5, np.random.default_rng(0)), flat)


@pytest.mark.parametrize("level", [0, 6, -1, 1.5])
def test_a_level_outside_1_to_5_is_refused(level):
    with pytest.raises(ValueError, match=r"level is an integer 1\.\.5"):
        DISTORTIONS["jpeg"](PHOTOS[0], level, np.random.default_rng(0))


@pytest.mark.parametrize("image", [PHOTOS[0][..., 0], PHOTOS[0].astype(np.int32)])
def test_another_shape_or_dtype_is_refused(image):
    with pytest.raises(ValueError, match="expected"):
        DISTORTIONS["jpeg"](image, 1, np.random.default_rng(0))
