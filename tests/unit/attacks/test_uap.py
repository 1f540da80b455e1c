"""Universal perturbations against a numpy transcription of Adam and of plain steps; tiling, order, what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_score import gradient, images, score

from robust_iqa_jax.attacks.fitting import epoch_order
from robust_iqa_jax.attacks.uap import UAP, Universal


def fitted_by_numpy(x, eps, update, rate, epochs, sign=1):
    u, first, second = np.zeros(x.shape[1:]), 0.0, 0.0
    for t in range(1, epochs + 1):
        shifted = x + u
        inside = (shifted > 0) & (shifted < 1)
        g = sign * (gradient(np.clip(shifted, 0, 1)) * inside).mean(0) / 100
        if update == "gradient":
            u = u + rate * g
        else:
            first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g**2
            u = u + rate * (first / (1 - 0.9**t)) / (np.sqrt(second / (1 - 0.999**t)) + 1e-8)
        u = np.clip(u, -eps, eps)
    return u


@pytest.mark.parametrize(
    ("update", "rate", "used", "direction"),
    [("adam", None, 1e-3, "raise"), ("adam", 0.02, 0.02, "lower"), ("gradient", None, 1.0, "raise")],
)
def test_equals_the_formula_written_in_numpy(update, rate, used, direction):
    x, eps, epochs = images().astype(np.float64), 6 / 255, 5
    with jax.enable_x64(True):
        fitting = UAP(eps, update=update, learning_rate=rate, epochs=epochs, direction=direction)
        ours = fitting.fit(score, jax.random.key(0), jnp.asarray(x))
        attacked = ours(score, jax.random.key(1), jnp.asarray(x))
    expected = fitted_by_numpy(x, eps, update, used, epochs, 1 if direction == "raise" else -1)
    assert (rate, update) == (None, "adam") or np.abs(expected).max() == eps  # the ball was reached
    np.testing.assert_allclose(np.asarray(ours.pattern) * eps, expected, atol=1e-12)
    np.testing.assert_allclose(attacked, np.clip(x + expected, 0, 1), atol=1e-12)


def test_raises_scores_of_images_that_it_was_not_fitted_on():
    told = []
    fitting = UAP(10 / 255, learning_rate=5e-3, epochs=8, batch_size=4)
    attack = fitting.fit(score, jax.random.key(0), images(10), on_epoch=lambda epoch, mean: told.append((epoch, mean)))
    other = images(8, seed=5)
    gain = score(attack(score, jax.random.key(1), other)) - score(other)
    assert float(gain.min()) > 0
    assert [epoch for epoch, _ in told] == list(range(8))
    assert told[-1][1] > told[0][1]
    again = fitting.fit(score, jax.random.key(0), images(10))
    np.testing.assert_array_equal(attack.pattern, again.pattern)


@pytest.mark.parametrize(("count", "batch_size", "shape"), [(10, 4, (3, 4)), (8, 4, (2, 4)), (3, 8, (1, 3))])
def test_an_epoch_sees_every_image(count, batch_size, shape):
    order = jax.jit(epoch_order, static_argnums=(1, 2))(jax.random.key(0), count, batch_size)
    assert order.shape == shape
    times = np.bincount(np.asarray(order).ravel(), minlength=count)
    assert times.min() == 1
    assert times.max() <= 2


def test_small_patterns_are_tiled_and_large_ones_cropped():
    pattern = np.random.default_rng(0).uniform(-1, 1, (4, 2, 3)).astype(np.float32)
    x = jnp.full((2, 6, 5, 3), 0.5)
    tiled = Universal(pattern, 0.1)(score, jax.random.key(0), x)
    rows, columns = np.arange(6) % 4, np.arange(5) % 2
    expected = 0.5 + np.float32(0.1) * pattern[rows][:, columns]
    np.testing.assert_allclose(tiled, np.stack([expected, expected]), atol=1e-7)
    cropped = Universal(pattern, 0.1)(score, jax.random.key(0), x[:, :3, :1])
    np.testing.assert_allclose(cropped[1], expected[:3, :1], atol=1e-7)


def test_another_eps_scales_the_pattern_and_fits_compile_once():
    traces = []

    def counted(x):
        traces.append(x.shape)
        return score(x)

    x = jnp.full((1, 6, 5, 3), 0.5)
    attack = UAP(0.1, learning_rate=1e-3, epochs=1).fit(counted, jax.random.key(0), x)
    seen = len(traces)
    other = UAP(0.05, learning_rate=0.01, epochs=3).fit(counted, jax.random.key(1), x)
    assert len(traces) == seen > 0
    assert np.abs(np.asarray(other.pattern)).max() > np.abs(np.asarray(attack.pattern)).max()
    whole, half = (a(score, jax.random.key(0), x) - x for a in (attack, attack.replace(eps=0.05)))
    np.testing.assert_allclose(whole, 2 * half, atol=1e-7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"eps": 0}, "eps must be above 0"),
        ({"epochs": 0}, "epochs must be above 0"),
        ({"update": "sgd"}, "unknown update 'sgd'; choose one of adam, gradient"),
        ({"direction": "up"}, "unknown direction 'up'"),
    ],
)
def test_bad_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        UAP(**arguments)


def test_a_pattern_of_other_channels_is_refused():
    with pytest.raises(ValueError, match=r"a pattern \(height, width, 3\) expected for these images, got \(4, 4, 1\)"):
        Universal(np.zeros((4, 4, 1)))(score, jax.random.key(0), jnp.zeros((1, 6, 5, 3)))
