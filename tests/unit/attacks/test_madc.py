"""MADC against a numpy transcription; its RMSE budget, its tangent steps, images alone, what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_score import gradient, images, score

from robust_iqa_jax.attacks.madc import MADC


def by_numpy(image, steps, size, rmse, restore, sign):
    p = np.zeros_like(image)
    for step in range(steps):
        g = sign * gradient((image + p)[None])[0]
        if step:
            root = np.sqrt((p**2).mean())
            r = p / (root * p.size)  # gradient of the root mean square
            g = g - (r * g).sum() / (r * r).sum() * r
        p = np.clip(image + p + size * np.sign(g), 0, 1) - image
        while np.sqrt((p**2).mean()) > rmse:
            p = np.sign(p) * np.maximum(np.abs(p) - restore, 0)
    return image + p


@pytest.mark.parametrize(
    ("settings", "direction"),
    [({}, "raise"), ({"steps": 15, "step_size": 0.01, "rmse": 0.02}, "raise"), ({"rmse": 0.002}, "lower")],
)
def test_equals_the_formula_written_in_numpy(settings, direction):
    used = {"steps": 8, "step_size": 0.001, "rmse": 10 / 255} | settings
    x, sign = images().astype(np.float64), 1 if direction == "raise" else -1
    with jax.enable_x64(True):
        ours = MADC(**settings, direction=direction)(score, jax.random.key(0), jnp.asarray(x))
    expected = [by_numpy(v, used["steps"], used["step_size"], used["rmse"], 0.0005, sign) for v in x]
    np.testing.assert_allclose(ours, np.stack(expected), atol=1e-10)


@pytest.mark.parametrize("rmse", [1e-4, 0.01, 0.1])
def test_the_budget_holds_however_small_and_scores_rise(rmse):
    x = jnp.asarray(images())
    attacked = MADC(20, 0.02, rmse=rmse)(score, jax.random.key(0), x)
    root = np.sqrt(((np.asarray(attacked, np.float64) - np.asarray(x)) ** 2).mean((1, 2, 3)))
    assert (root <= rmse * (1 + 1e-3) + 1e-7).all()
    assert rmse < 0.001 or (score(attacked) > score(x) + 0.1).all()


def test_the_published_settings_do_not_reach_the_published_budget():
    x = jnp.asarray(images())
    wide = MADC(rmse=1.0)(score, jax.random.key(0), x)
    np.testing.assert_array_equal(MADC()(score, jax.random.key(0), x), wide)
    assert np.abs(np.asarray(wide - x)).max() <= 0.008 + 1e-6


@pytest.mark.parametrize("name", ["steps", "step_size", "rmse", "restoring_step"])
def test_settings_that_are_not_positive_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be above 0, got 0"):
        MADC(**{name: 0})
