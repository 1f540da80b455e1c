"""Photos on their way to a model: at its size without rounding to 8 bits, the same whatever they are kept in."""

import numpy as np
import pytest

from robust_iqa_jax.data import pipeline
from robust_iqa_jax.data.images import at_size
from robust_iqa_jax.data.photo_set import PhotoSet
from robust_iqa_jax.data.pipeline import evaluation_batches, grey_levels, resized, stored

SIZE = (12, 9)
OWN, OTHER = (np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8) for size in (SIZE, (30, 25)))


@pytest.fixture
def photos():
    """Five photos in turns of the model's size and of another; `reads` counts how often each was decoded."""
    reads = [0] * 5

    def load(i):
        reads[i] += 1
        return (OWN, OTHER)[i % 2]

    photos = PhotoSet(tuple("abcde"), np.arange(5.0), "mos", load, ("",) * 5)
    return photos, reads


def test_a_photo_of_the_models_size_is_kept_exactly():
    assert stored(OWN, SIZE) is OWN
    np.testing.assert_array_equal(grey_levels(OWN), OWN)
    assert grey_levels(OWN).dtype == np.float32


def test_a_resized_photo_is_kept_to_half_a_step_of_16_bits():
    kept = stored(OTHER, SIZE)
    assert kept.dtype == np.uint16
    error = grey_levels(kept) / 255 - at_size(OTHER, SIZE)
    assert 0 < np.abs(error).max() <= 0.51 / 65535


@pytest.mark.parametrize("room", [0, OWN.nbytes, pipeline.CACHE_BYTES])
def test_photos_are_remembered_while_there_is_room_and_are_the_same_read_again(photos, room, monkeypatch):
    monkeypatch.setattr(pipeline, "CACHE_BYTES", room)
    photos, reads = photos
    load = resized(photos, SIZE)
    for i in (0, 1, 2, 3, 4):
        np.testing.assert_array_equal(load(i), load(i))
    assert reads == {0: [2] * 5, OWN.nbytes: [1, 2, 2, 2, 2]}.get(room, [1] * 5)


def test_evaluation_batches_hold_every_photo_once_at_the_models_size(photos):
    photos, _ = photos
    batches = list(evaluation_batches(photos, SIZE, 3))
    assert [(len(images), count) for images, count in batches] == [(3, 3), (3, 2)]
    images = np.concatenate([images[:count] for images, count in batches])
    np.testing.assert_array_equal(images, [at_size((OWN, OTHER)[i % 2], SIZE) for i in range(5)])
    np.testing.assert_array_equal(batches[1][0][2], batches[1][0][1])
