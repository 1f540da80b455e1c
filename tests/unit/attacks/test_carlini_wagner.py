"""C&W against its loop in numpy, and against linear scores, whose smallest change is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_score import WEIGHTS, gradient, images, linear, score, value

from robust_iqa_jax.attacks import carlini_wagner

LENGTH = np.linalg.norm(WEIGHTS)


def lengths(perturbation):
    return np.linalg.norm(np.asarray(perturbation, np.float64).reshape(len(perturbation), -1), axis=1)


def numpy_loop(x, gain, steps, searches, step_size):
    """One image: Adam in w = arctanh(2x - 1), c from 4 gain / |gradient|^2 by tens and halves."""
    value_of = lambda v: value(v[None])[0]  # noqa: E731
    slope = lambda v: gradient(v[None])[0]  # noqa: E731
    clean, origin = value_of(x), np.arctanh(0.999999 * (2 * x - 1))
    c, low, high = 4 * gain / (slope(x) ** 2).sum(), 0.0, np.inf
    smallest, shortest, result = np.inf, np.inf, x
    for _ in range(searches):
        w, m, v, reached = origin, 0.0, 0.0, False
        for t in range(1, steps + 1):
            y = (np.tanh(w) + 1) / 2
            short, distance = gain - (value_of(y) - clean), ((y - x) ** 2).sum()
            if short <= 0:
                reached = True
                if distance < smallest:
                    smallest, result = distance, y
            elif smallest == np.inf and short < shortest:
                shortest, result = short, y
            g = (2 * (y - x) - c * slope(y) * (short > 0)) * (1 - np.tanh(w) ** 2) / 2
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            size = step_size * (1 - (t - 1) / steps)
            w = w - size * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        low, high = (low, c) if reached else (c, high)
        c = 10 * c if high == np.inf else (low + high) / 2
    return result


@pytest.mark.parametrize("gain", [0.5, 4.0, 300.0])
def test_equals_the_loop_written_in_numpy(gain):
    x = 0.1 + 0.8 * images().astype(np.float64)
    with jax.enable_x64(True):
        ours = carlini_wagner(gain, 12, searches=4, step_size=0.03)(score, jax.random.key(0), jnp.asarray(x))
    expected = [numpy_loop(image, gain, 12, 4, 0.03) for image in x]
    np.testing.assert_allclose(ours, expected, atol=1e-5)


@pytest.mark.parametrize("direction", ["raise", "lower"])
def test_finds_the_smallest_change_of_a_linear_score(direction):
    x = jnp.asarray(0.3 + 0.4 * images(8))
    for gain in (0.05, 0.5, 3.0):  # one program
        adversarial = carlini_wagner(gain, direction=direction)(linear, jax.random.key(0), x)
        achieved = np.asarray(linear(adversarial) - linear(x)) * (1 if direction == "raise" else -1)
        assert (achieved >= gain - 1e-4).all()
        np.testing.assert_array_less(lengths(adversarial - x), 1.02 * gain / LENGTH)
        np.testing.assert_array_less(gain / LENGTH - 1e-4, lengths(adversarial - x))


def test_pixels_that_are_black_or_white_stay_in_range_and_do_not_stop_it():
    x = images(8)
    x[:, 0], x[:, 1] = 0, 1
    adversarial = carlini_wagner(2.0)(linear, jax.random.key(0), x)
    assert float(adversarial.min()) >= 0
    assert float(adversarial.max()) <= 1
    assert (np.asarray(linear(adversarial) - linear(x)) >= 2 - 1e-3).all()


def test_each_image_of_a_non_linear_score_reaches_its_gain_by_less_than_one_long_step():
    x, gain = images(8), 3.0
    adversarial = carlini_wagner(gain)(score, jax.random.key(0), x)
    assert (value(adversarial) - value(x) >= gain - 1e-3).all()
    slope = gradient(np.asarray(x, np.float64)) / lengths(gradient(np.asarray(x, np.float64)))[:, None, None, None]
    for i in range(8):  # the first point along the clean gradient that reaches the gain
        steps = np.linspace(0, 8, 4001)[:, None, None, None]
        path = np.clip(x[i] + steps * slope[i], 0, 1)
        first = int(np.argmax(value(path) >= value(x[i : i + 1])[0] + gain))
        assert lengths(adversarial - x)[i] <= 1.02 * lengths(path[first : first + 1] - x[i : i + 1])[0]


def test_what_cannot_be_reached_gives_the_largest_gain_found():
    x = jnp.asarray(images())
    flat = lambda v: 5 * jnp.tanh(linear(v) - linear(x).mean())  # noqa: E731
    adversarial = carlini_wagner(20.0, 60)(flat, jax.random.key(0), x)
    assert (np.asarray(flat(adversarial)) > 4.9).all()  # of 5, which no image gets beyond
    with pytest.warns(UserWarning, match="gradient is zero or not finite everywhere for 4 of 4 images"):
        unmoved = carlini_wagner(1.0, 5)(lambda v: v.sum((1, 2, 3)) * 0, jax.random.key(0), x)
    np.testing.assert_allclose(unmoved, x, atol=1e-6)


def test_a_sweep_over_its_numbers_compiles_once():
    traces = []

    def counted(x):
        traces.append(x.shape)
        return linear(x)

    x = jnp.asarray(images())
    carlini_wagner(1.0, 2, searches=1)(counted, jax.random.key(0), x)
    first = len(traces)
    for gain, steps in ((2.0, 3), (5, 4)):
        carlini_wagner(float(gain), steps, searches=2, step_size=0.1)(counted, jax.random.key(0), x)
    assert len(traces) == first


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="gain must be above 0"):
        carlini_wagner(0)
    with pytest.raises(ValueError, match="direction invert sets no gain for a single image"):
        carlini_wagner(direction="invert")
