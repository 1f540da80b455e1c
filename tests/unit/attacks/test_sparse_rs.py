"""Sparse-RS against a numpy transcription with the same draws, its schedule, and how many pixels it changes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_score import WEIGHTS, images, linear, score, value

from robust_iqa_jax.attacks.sparse_rs import SparseRS, exchanged

KEY = jax.random.key(4)


def draw(key, allowed, count):
    """The `count` allowed places with the smallest draws."""
    places = np.asarray(jax.random.uniform(key, allowed.shape))
    smallest = sorted(zip(places[allowed], np.argwhere(allowed).tolist(), strict=True))[:count]
    mask = np.zeros(allowed.shape, bool)
    for _, (row, column) in smallest:
        mask[row, column] = True
    return mask


def painted(key, image, allowed, count):
    where, colour = jax.random.split(key)
    colours = np.asarray(jax.random.bernoulli(colour, shape=image.shape), np.float64)
    mask, result = draw(where, allowed, count), image.copy()
    for row, column in np.argwhere(mask):
        new = colours[row, column]
        result[row, column] = 1 - new if (new == image[row, column]).all() else new
    return result


@pytest.mark.parametrize("direction", ["raise", "lower"])
def test_equals_the_algorithm_written_in_numpy_with_the_same_draws(direction):
    x, pixels, queries, sign = images(2).astype(np.float64), 7, 12, 1 if direction == "raise" else -1
    keys = jax.random.split(KEY, 2)
    with jax.enable_x64(True):
        ours = SparseRS(pixels, queries, direction=direction, share=0.9)(score, keys, jnp.asarray(x))
        for image, key, found in zip(x, keys, np.asarray(ours), strict=True):
            best = painted(jax.random.fold_in(key, 0), image, np.ones((6, 5), bool), pixels)
            for i in range(1, queries):
                divisor = [d for begin, d in ((0, 2), (50, 4), (200, 5), (500, 6), (1000, 8), (2000, 10), (4000, 12),
                                              (6000, 15), (8000, 20)) if i / queries * 10_000 > begin][-1]  # fmt: skip
                count = max(int(0.9 / divisor * pixels), 1)
                where, colour = jax.random.split(jax.random.fold_in(key, i))
                differs = (best != image).any(-1)
                kept = np.where(draw(where, differs, count)[..., None], image, best)
                candidate = painted(colour, kept, ~differs, count)
                if sign * value(candidate[None])[0] > sign * value(best[None])[0]:
                    best = candidate
            np.testing.assert_array_equal(found, best)


def test_exactly_so_many_pixels_differ_and_all_of_them_are_corners_of_the_colour_cube():
    x = 0.1 + 0.8 * images()
    for pixels in (1, 9, 100):  # one program; the last is more than there are
        moved = np.asarray(SparseRS(pixels, 30)(score, KEY, x))
        differs = (moved != x).any(-1)
        np.testing.assert_array_equal(differs.sum((1, 2)), min(pixels, 30))
        assert np.isin(moved[differs], (0, 1)).all()


def test_searches_where_all_pixels_may_differ():
    x = jnp.full((2, 6, 5, 3), 0.5)
    first, last = (np.asarray(linear(SparseRS(30, queries)(linear, KEY, x))) for queries in (1, 2000))
    assert (last - np.asarray(linear(x)) > 0.8 * np.abs(WEIGHTS).sum() / 2).all()
    assert (last > first).all()


def test_finds_most_of_the_best_pixels_of_a_linear_score():
    x = jnp.full((2, 6, 5, 3), 0.5)
    best = np.sort(np.abs(WEIGHTS).sum(-1).ravel())[-6:].sum() / 2
    gain = np.asarray(linear(SparseRS(6, 3000)(linear, KEY, x)) - linear(x))
    assert (gain > 0.9 * best).all()
    assert (gain <= best + 1e-4).all()


def test_the_schedule_is_the_published_one_at_any_length():
    for query, divisor in ((1, 2), (50, 2), (51, 4), (501, 6), (5000, 12), (9999, 20)):
        assert int(exchanged(query, 10_000, 1000, 0.3)) == int(np.float32(0.3) / np.float32(divisor) * 1000)
        assert int(exchanged(query / 10, 1_000, 1000, 0.3)) == int(np.float32(0.3) / np.float32(divisor) * 1000)
    assert int(exchanged(9_000, 10_000, 10, 0.3)) == 1


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="pixels must be a whole number"):
        SparseRS(2.5)
