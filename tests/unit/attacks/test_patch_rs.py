"""Patch-RS against a numpy transcription with the same draws, its schedules, and what it leaves alone."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_score import images, score, value

from robust_iqa_jax.attacks import patch_rs
from robust_iqa_jax.attacks.patch_rs import PatchRS, first_flip, square_side

KEY = jax.random.key(4)
DIVISORS = (
    (0, 1),
    (10, 2),
    (50, 4),
    (200, 8),
    (500, 16),
    (1000, 32),
    (2000, 64),
    (4000, 128),
    (6000, 256),
    (8000, 512),
)


def split(key, count):
    return [jax.random.split(key, count)[i] for i in range(count)]


def integers(key, low, high, shape=()):
    return np.asarray(jax.random.randint(key, shape, jnp.asarray(low), jnp.asarray(high)))


def colour(key):
    return np.asarray(jax.random.bernoulli(key, shape=(3,)), np.float64)


def first_patch(key, side):
    patch = np.zeros((side, side, 3))
    for i in range(patch_rs.SQUARES):
        of_side, of_place, of_colour = split(jax.random.fold_in(key, i), 3)
        size = int(integers(of_side, 1, max(2, math.ceil(side**0.5))))
        row, column = integers(of_place, 0, side - size + 1, (2,))
        patch[row : row + size, column : column + size] = colour(of_colour)
    return patch


def put(image, patch, at):
    image = image.copy()
    image[at[0] : at[0] + len(patch), at[1] : at[1] + len(patch)] = patch
    return image


def proposal(key, i, patch, at, image, queries, share):
    """What the published program proposes, from these draws."""
    height, width, side = *image.shape[:2], len(patch)
    reach = np.int32(0.75 * (1 - i / queries) * np.array([height, width]))
    if i % 4 == 0 and reach.any():
        return patch, np.clip(
            at + integers(jax.random.fold_in(key, 0), -reach, reach + 1, (2,)), 0, [height - side, width - side]
        )

    def size(j):
        divisor = [d for begin, d in DIVISORS if j / queries * 10_000 > begin or not begin][-1]
        return int(max((share / divisor) ** 0.5 * side, 1))

    single = next((j for j in range(queries) if size(j) == 1), queries)
    where, of_colour, of_channel = split(jax.random.fold_in(key, 1), 3)
    row, column = integers(where, 0, side - size(i) + 1, (2,))
    painted, new = patch.copy(), colour(of_colour)
    if i >= single + (queries - single) / 2:
        channel = int(integers(of_channel, 0, 3))
        painted[row, column, channel] = 1 - painted[row, column, channel]
        return painted, at
    if size(i) == 1 and (patch[row, column] == new).all():
        new = 1 - new
    painted[row : row + size(i), column : column + size(i)] = new
    return painted, at


@pytest.mark.parametrize("direction", ["raise", "lower"])
def test_equals_the_algorithm_written_in_numpy_with_the_same_draws(direction, monkeypatch):
    monkeypatch.setattr(patch_rs, "SQUARES", 5)
    x, queries, share, side, sign = images(2).astype(np.float64), 24, 0.9, 4, 1 if direction == "raise" else -1
    keys = jax.random.split(KEY, 2)
    with jax.enable_x64(True):
        ours = PatchRS(queries, side=side, share=share, direction=direction)(score, keys, jnp.asarray(x))
        for image, key, found in zip(x, keys, np.asarray(ours), strict=True):
            begin = jax.random.fold_in(key, 0)
            at = integers(jax.random.fold_in(begin, 0), 0, np.array([6 - side + 1, 5 - side + 1]), (2,))
            patch = first_patch(jax.random.fold_in(begin, 1), side)
            for i in range(1, queries):
                proposed = proposal(jax.random.fold_in(key, i), i, patch, at, image, queries, share)
                before, after = (sign * value(put(image, *one)[None])[0] for one in ((patch, at), proposed))
                if after > before:
                    patch, at = proposed
            np.testing.assert_array_equal(found, put(image, patch, at))


def test_one_square_of_corners_of_the_colour_cube_differs_and_it_is_a_good_one():
    x = 0.1 + 0.8 * images()
    moved = np.asarray(PatchRS(200, side=3)(score, KEY, x))
    differs = (moved != x).any(-1)
    for of_image, image in zip(differs, moved, strict=True):
        rows, columns = (np.flatnonzero(of_image.any(axis)) for axis in (1, 0))
        assert of_image.sum() == 9
        assert np.ptp(rows) == np.ptp(columns) == 2
        assert np.isin(image[of_image], (0, 1)).all()
    noise = np.asarray(PatchRS(1, side=3)(score, KEY, x))
    assert (value(moved) > value(noise)).all()


def test_a_patch_larger_than_the_photo_is_as_large_as_its_shorter_side():
    moved = np.asarray(PatchRS(3, side=50)(score, KEY, 0.1 + 0.8 * images()))
    np.testing.assert_array_equal(np.isin(moved, (0, 1)).all(-1).sum((1, 2)), 25)


def test_schedules_are_the_published_ones_at_any_length():
    for query, size in ((1, 8), (10, 8), (11, 5), (51, 4), (201, 2), (501, 2), (1001, 1), (9999, 1)):
        assert int(square_side(query, 10_000, 13, 0.4)) == size
        assert int(square_side(query / 10, 1_000, 13, 0.4)) == size
    assert int(first_flip(10_000, 13, 0.4)) == 5500
    assert int(first_flip(100, 400, 0.4)) == 100  # never single pixels


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="side must be a whole number"):
        PatchRS(side=2.5)
