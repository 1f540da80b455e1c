"""The embedded set: complete, deterministic, split by photo, and its label the formula that it states."""

from collections import Counter

import jax
import numpy as np
import pytest
from scipy import ndimage
from skimage import color, data

from robust_iqa_jax.data import distorted_photos as module
from robust_iqa_jax.data.distorted_photos import CROPS, LABEL_MEASURE, PHOTOS, distorted_photos, pseudo_mos
from robust_iqa_jax.data.distortions import DISTORTIONS
from robust_iqa_jax.functional.ssim import ms_ssim

FEW = ("chelsea", "motorcycle", "china")


@pytest.fixture(scope="module", params=[FEW, pytest.param(tuple(PHOTOS), marks=pytest.mark.slow)], ids=["few", "all"])
def photos(request):
    """The set of these photos alone: the same code in a third of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PHOTOS", {name: PHOTOS[name] for name in request.param})
        return distorted_photos(size=176)


def test_the_whole_set_has_1400_images():
    assert len(PHOTOS) * CROPS * (1 + 2 * len(DISTORTIONS)) == 1400


def test_the_set_holds_every_kind_at_every_level_twice_a_photo(photos):
    assert len(set(photos.names)) == len(photos)
    fields = [name.split("-") for name in photos.names]
    counts = Counter((photo, kind, int(level)) for photo, _, kind, level in fields if kind != "pristine")
    built = {photo for photo, *_ in fields}
    assert counts == {(photo, kind, level): 2 for photo in built for kind in DISTORTIONS for level in range(1, 6)}
    assert sum(kind == "pristine" for _, _, kind, _ in fields) == len(built) * CROPS


def test_no_photo_is_in_both_splits(photos):
    train, test = ({name.split("-")[0] for name in photos.select(group).names} for group in ("train", "test"))
    assert train.isdisjoint(test)
    assert "china" in test <= {"coffee", "china"}
    assert set(photos.groups) == {"train", "test"}


def test_images_are_8_bit_squares_that_nobody_can_overwrite(photos):
    for i in range(0, len(photos), 97):
        image = photos.load(i)
        assert image.dtype == np.uint8
        assert image.shape == (176, 176, 3)
        assert not image.flags.writeable


def test_labels_are_named_as_computed_and_spread_over_the_range(photos):
    assert photos.label == "pseudo_mos"
    assert "MS-SSIM" in LABEL_MEASURE
    assert 0 <= photos.scores.min() < 10
    assert photos.scores.max() == 100
    for group in ("train", "test"):
        histogram = np.histogram(photos.select(group).scores, 10, (0, 100))[0]
        assert histogram.min() > 0.04 * histogram.sum()


def test_pristine_crops_score_100_and_stronger_levels_score_less_on_average(photos):
    level = np.array([int(name.rsplit("-", 1)[1]) for name in photos.names])
    assert (photos.scores[level == 0] == 100).all()
    assert (photos.scores[level > 0] < 100).all()
    for kind in DISTORTIONS:
        of_kind = np.array([f"-{kind}-" in name for name in photos.names])
        means = [photos.scores[of_kind & (level == k)].mean() for k in range(1, 6)]
        assert (np.diff(means) < 0).all(), kind
        assert means[0] > 65, kind
        assert means[4] < 60, kind


@pytest.mark.slow
def test_a_build_is_reproducible_differs_by_seed_and_reports_its_progress(monkeypatch):
    monkeypatch.setattr(module, "PHOTOS", {name: PHOTOS[name] for name in ("chelsea", "china")})
    monkeypatch.setattr(module, "CROPS", 2)
    done = []
    first = distorted_photos(size=176, on_progress=lambda *progress: done.append(progress))
    assert done == [(i, 4) for i in range(1, 5)]
    again, other = distorted_photos(size=176), distorted_photos(size=176, seed=1)
    assert again.names == first.names == other.names
    np.testing.assert_array_equal(again.scores, first.scores)
    assert all((again.load(i) == first.load(i)).all() for i in range(len(first)))
    alike = [(other.load(i) == first.load(i)).all() for i in range(len(first))]
    # crop 0 is the whole photo whatever the seed: of it only what is drawn differs
    own_pixels = [alike[i] for i, name in enumerate(first.names) if "-crop1-" in name]
    assert np.mean(own_pixels) < 0.1
    assert not all(alike[: len(DISTORTIONS)])


def test_the_label_is_the_stated_formula():
    pristine = data.coffee()[100:288, 200:388]
    image = DISTORTIONS["jpeg"](pristine, 4, np.random.default_rng(0))
    luma = [
        (z.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32))[None, ..., None] / 255
        for z in (pristine, image)
    ]
    lab = [color.rgb2lab(ndimage.gaussian_filter(z / 255, (2, 2, 0)))[2::4, 2::4] for z in (pristine, image)]
    expected = 100 * float(jax.jit(ms_ssim)(*luma)[0]) ** 8 * np.exp(-color.deltaE_ciede2000(*lab).mean() / 20)
    np.testing.assert_allclose(pseudo_mos(pristine, image[None])[0], expected, atol=0.02)


def test_the_label_sees_casts_and_exposure_which_structure_alone_hardly_does():
    pristine = data.chelsea()[50:238, 100:288]
    for kind in ("colour_cast", "desaturate", "over_exposure"):
        image = DISTORTIONS[kind](pristine, 5, np.random.default_rng(0))
        assert pseudo_mos(pristine, image[None])[0] < 65


@pytest.mark.parametrize("size", [175, 301])
def test_a_size_that_the_measure_or_the_photos_do_not_allow_is_refused(size):
    with pytest.raises(ValueError, match=rf"size is 176\.\.300 pixels, got {size}"):
        distorted_photos(size=size)
