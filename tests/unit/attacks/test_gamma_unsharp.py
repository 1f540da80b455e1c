"""Gamma and unsharp mask: the edit against scipy, its evolution against a numpy transcription with the same draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage
from small_score import images, score, value

from robust_iqa_jax.attacks.gamma_unsharp import GammaUnsharp, edited

KEY = jax.random.key(4)
LOW, HIGH = np.array([0.3, 30, 0]), np.array([1.2, 120, 2])


def edit(image, genes):
    gamma, sigma, amount = genes
    toned = image**gamma
    blurred = ndimage.gaussian_filter(toned, (sigma, sigma, 0), radius=(8, 8, 0), mode="reflect")
    return np.clip(toned + amount * (toned - blurred), 0, 1)


def test_the_edit_is_a_tone_curve_and_an_unsharp_mask_in_a_window_of_17_pixels():
    x = np.random.default_rng(0).uniform(0, 1, (3, 20, 11, 3))
    genes = np.array([[0.4, 31.0, 1.5], [1.0, 90.0, 0.0], [1.2, 60.0, 0.3]])
    with jax.enable_x64(True):
        ours = np.asarray(edited(jnp.asarray(x), jnp.asarray(genes)))
    for result, image, numbers in zip(ours, x, genes, strict=True):
        np.testing.assert_allclose(result, edit(image, numbers), atol=1e-12)
    np.testing.assert_allclose(ours[1], x[1], atol=1e-12)  # gamma 1, amount 0


def uniform(key, shape=()):
    return np.asarray(jax.random.uniform(key, shape))


def child(key, parents):
    kind, pair, between, mutation = jax.random.split(key, 4)
    draw, (a, b) = uniform(kind), np.asarray(jax.random.choice(pair, 18, (2,), replace=False))
    genes = parents[a].copy()
    if draw < 0.5:
        first, last = sorted(np.asarray(jax.random.choice(between, jnp.arange(1, 4), (2,), replace=False)))
        genes[first:last] = parents[b][first:last]
    elif draw < 0.99:
        which, how_far = jax.random.split(mutation)
        gene = int(jax.random.randint(which, (), 0, 3))
        moved = genes[gene] + float(jax.random.normal(how_far)) * (HIGH[gene] - LOW[gene]) / 15
        genes[gene] = np.clip(moved, LOW[gene], HIGH[gene])
    return genes


@pytest.mark.parametrize("direction", ["raise", "lower"])
def test_equals_the_evolution_written_in_numpy_with_the_same_draws(direction):
    x, sign = images(2).astype(np.float64), 1 if direction == "raise" else -1
    with jax.enable_x64(True):
        keys = jax.random.split(KEY, 2)
        ours = np.asarray(GammaUnsharp(3, direction=direction)(score, keys, jnp.asarray(x)))
        for image, key, found in zip(x, keys, ours, strict=True):
            fitness = lambda genes, image=image: sign * value(edit(image, genes)[None])[0]  # noqa: E731
            population = list(LOW + (HIGH - LOW) * uniform(jax.random.fold_in(key, 0), (28, 3)))
            parents = sorted(population, key=fitness, reverse=True)[:18]
            for i in range(1, 4):
                children = [child(one, parents) for one in jax.random.split(jax.random.fold_in(key, i), 24)]
                parents = sorted([*parents, *children], key=fitness, reverse=True)[:18]
            best = edit(image, parents[0])
            expected = best if sign * value(best[None])[0] > sign * value(image[None])[0] else image
            np.testing.assert_allclose(found, expected, atol=1e-9)


def test_more_generations_never_do_worse_and_a_photo_that_nothing_helps_stays_what_it_was():
    x = images()
    gains = [value(np.asarray(GammaUnsharp(n)(score, KEY, x))) - value(x) for n in (1, 8)]
    assert (gains[1] >= gains[0]).all()
    assert (gains[1] > 0).any()
    still = lambda x: -jnp.abs(x - images()).max((1, 2, 3))  # noqa: E731
    np.testing.assert_array_equal(GammaUnsharp(1)(still, KEY, x), x)


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="generations must be a whole number"):
        GammaUnsharp(1.5)
