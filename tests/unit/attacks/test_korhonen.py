"""Korhonen's attack against a numpy and scipy transcription, its mask, its bound and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage
from small_score import gradient, images, score, value

from robust_iqa_jax.attacks.korhonen import Korhonen, spatial_activity

ACTIVITY = jax.jit(spatial_activity, static_argnames="signed")


def activity(image, signed):
    """The map by scipy: inner Sobel of the luma, over its maximum, grey dilation."""
    luma = image @ [0.299, 0.587, 0.114]
    across, along = ndimage.sobel(luma, axis=1), ndimage.sobel(luma, axis=0)
    edges = np.zeros_like(luma)
    edges[1:-1, 1:-1] = (across if signed else np.hypot(across, along))[1:-1, 1:-1]
    disc = np.ones((5, 5), bool)
    disc[[0, 0, -1, -1], [0, -1, 0, -1]] = False
    return ndimage.grey_dilation(edges / edges.max(), footprint=disc, mode="constant", cval=-np.inf)[..., None]


@pytest.mark.parametrize("signed", [False, True])
def test_the_map_equals_scipy(signed):
    x = np.random.default_rng(0).uniform(0, 1, (2, 17, 13, 3)) ** 4
    with jax.enable_x64(True):
        ours = ACTIVITY(x, signed=signed)
    np.testing.assert_allclose(ours, np.stack([activity(image, signed) for image in x]), atol=1e-12)


def test_a_flat_image_is_attacked_everywhere():
    flat = np.full((1, 8, 9, 3), 0.3, np.float32)
    np.testing.assert_array_equal(ACTIVITY(flat), np.ones((1, 8, 9, 1)))


@pytest.mark.parametrize(("variant", "eps"), [("masked-steps", 0.01), ("authors", None)])
def test_equals_the_formula_written_in_numpy(variant, eps):
    x, rate = images().astype(np.float64), 0.005
    with jax.enable_x64(True):
        ours = Korhonen(eps, 12, rate, variant=variant)(score, jax.random.key(0), jnp.asarray(x))
    mask = np.stack([activity(image, variant == "authors") for image in x])
    y, first, second = x, 0.0, 0.0
    for t in range(1, 13):
        g = gradient(y) * (mask / 255 if variant == "authors" else 1)
        first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g**2
        step = rate * (first / (1 - 0.9**t)) / (np.sqrt(second / (1 - 0.999**t)) + 1e-8)
        y = y + step * (1 if variant == "authors" else mask)
        y = y if eps is None else np.clip(y, x - eps, x + eps)
        y = np.clip(y, 0, 1)
    assert np.abs(y - x).max() > 0.009
    np.testing.assert_allclose(ours, y, atol=1e-9)


def test_changes_follow_the_activity_where_the_published_form_ignores_it():
    x = np.full((1, 12, 12, 3), 0.5, np.float32)
    x[:, :, 2] += 0.05  # a faint edge, and a strong one far from it
    x[:, :, 9] += 0.4
    linear = lambda v: v.sum((1, 2, 3))  # noqa: E731
    moved = {
        v: np.asarray(Korhonen(steps=3, variant=v)(linear, jax.random.key(0), x) - x)
        for v in ("masked-steps", "authors")
    }
    faint, strong = (slice(None), 5, 2), (slice(None), 5, 10)
    np.testing.assert_allclose(moved["masked-steps"][faint], 0.05 / 0.4 * moved["masked-steps"][strong], rtol=1e-3)
    np.testing.assert_allclose(moved["authors"][faint], moved["authors"][strong], rtol=1e-3)


def test_the_best_iterate_is_no_weaker():
    x = images()
    last, best = (Korhonen(steps=20, learning_rate=0.2, keep_best=keep)(score, jax.random.key(0), x) for keep in (0, 1))
    assert (value(best) >= value(last) - 1e-5).all()
    assert (value(best) > value(last) + 1e-3).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"eps": 0.0}, "eps must be above 0"),
        ({"steps": 0}, "steps must be above 0"),
        ({"variant": "x"}, "unknown variant 'x'; choose one of masked-steps, authors"),
    ],
)
def test_bad_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Korhonen(**arguments)


@pytest.mark.parametrize("shape", [(1, 6, 5, 2), (1, 2, 5, 3)])
def test_images_without_luma_or_neighbours_are_refused(shape):
    with pytest.raises(ValueError, match="RGB or grey images of 3 x 3 pixels or more"):
        spatial_activity(jnp.zeros(shape))
