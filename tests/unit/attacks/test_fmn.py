"""FMN against its algorithm in numpy, and against linear scores, whose smallest change is known in both norms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_score import WEIGHTS, gradient, images, linear, score, value

from robust_iqa_jax.attacks import fmn

SIZES = {"l2": (np.linalg.norm, np.linalg.norm), "linf": (lambda d: np.abs(d).max(), lambda g: np.abs(g).sum())}


def cosine(i, steps, first, last):
    return last + 0.5 * (first - last) * (1 + np.cos(np.pi * i / steps))


def numpy_loop(x, gain, steps, norm):
    """Algorithm 1 for one image."""
    size, dual = SIZES[norm]
    clean, delta, radius, best, ever, shortest = value(x[None])[0], np.zeros_like(x), np.inf, None, False, np.inf
    for i in range(steps):
        y = x + delta
        short, g, there = gain - (value(y[None])[0] - clean), gradient(y[None])[0], size(delta.ravel())
        change = cosine(i, steps, 0.05, 0.001)
        if short <= 0:
            if not ever or there < size(best.ravel()):
                best = delta
            ever, radius = True, min(radius * (1 - change), size(best.ravel()))
        else:
            if not ever and short < shortest:
                best, shortest = delta, short
            radius = radius * (1 + change) if ever else there + short / dual(g.ravel())
        delta = delta + cosine(i, steps, 1.0, 0.01) * g / np.linalg.norm(g)
        delta = np.clip(delta, -radius, radius) if norm == "linf" else delta * min(1, radius / np.linalg.norm(delta))
        delta = np.clip(x + delta, 0, 1) - x
    short = gain - (value((x + delta)[None])[0] - clean)
    nearest = short <= 0 and (not ever or size(delta.ravel()) < size(best.ravel()))
    return x + (delta if nearest or (short > 0 and not ever and short < shortest) else best)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_equals_the_algorithm_written_in_numpy(norm):
    x = 0.1 + 0.8 * images().astype(np.float64)
    with jax.enable_x64(True):
        for gain in (0.5, 4.0, 300.0):  # the last is out of reach
            # in longer runs two iterates are equally small, and rounding decides between them
            ours = fmn(gain, 9, norm=norm)(score, jax.random.key(0), jnp.asarray(x))
            np.testing.assert_allclose(ours, [numpy_loop(image, gain, 9, norm) for image in x], atol=1e-9)


@pytest.mark.parametrize(("norm", "direction"), [("l2", "raise"), ("linf", "lower")])
def test_finds_the_smallest_change_of_a_linear_score(norm, direction):
    x, (size, dual) = jnp.asarray(0.3 + 0.4 * images(8)), SIZES[norm]
    for gain in (0.05, 0.5, 3.0):  # one program
        adversarial = fmn(gain, norm=norm, direction=direction)(linear, jax.random.key(0), x)
        achieved = np.asarray(linear(adversarial) - linear(x)) * (1 if direction == "raise" else -1)
        assert (achieved >= gain - 1e-4).all()
        sizes = [size(change.ravel()) for change in np.asarray(adversarial - x, np.float64)]
        np.testing.assert_array_less(sizes, 1.05 * gain / dual(WEIGHTS.ravel()))


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="gain must be above 0"):
        fmn(0)
    with pytest.raises(ValueError, match="direction reverse sets no gain for a single image"):
        fmn(direction="reverse")
