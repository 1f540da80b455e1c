"""FGSM against its formula in numpy and against the optimum of a linear score."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_score import WEIGHTS, gradient, images, score

from robust_iqa_jax.attacks import fgsm


@pytest.mark.parametrize("direction", ["raise", "lower"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_equals_the_formula_written_in_numpy(norm, direction):
    x, eps = images().astype(np.float64), 0.07
    with jax.enable_x64(True):
        ours = fgsm(eps, norm=norm, direction=direction)(score, jax.random.key(0), jnp.asarray(x))
    g = gradient(x) if direction == "raise" else -gradient(x)
    step = np.sign(g) if norm == "linf" else g / np.linalg.norm(g.reshape(4, -1), axis=1)[:, None, None, None]
    np.testing.assert_allclose(ours, np.clip(x + eps * step, 0, 1), atol=1e-12)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_one_step_is_the_optimum_of_a_linear_score(norm):
    x, eps = jnp.full((2, 6, 5, 3), 0.5), 0.3
    linear = lambda v: v.reshape(len(v), -1) @ jnp.asarray(WEIGHTS.ravel(), v.dtype)  # noqa: E731
    gain = linear(fgsm(eps, norm=norm)(linear, jax.random.key(0), x)) - linear(x)
    dual = np.abs(WEIGHTS).sum() if norm == "linf" else np.linalg.norm(WEIGHTS)
    np.testing.assert_allclose(gain, eps * dual, rtol=1e-5)


def test_change_leaves_the_clean_image_although_the_distance_is_least_there():
    x = jnp.asarray(images())
    moved = jnp.abs(score(fgsm(4 / 255, direction="change")(score, jax.random.key(0), x)) - score(x))
    assert (moved > 0.1).all()


def test_change_goes_up_from_the_clean_image_however_its_score_was_rounded():
    noise = itertools.chain([3e-6], itertools.repeat(0.0))  # on the clean score, traced first
    rounded = lambda v: score(v) + next(noise)  # noqa: E731
    x = jnp.asarray(images())
    changed = fgsm(direction="change")(rounded, jax.random.key(0), x)
    np.testing.assert_array_equal(changed, fgsm(direction="raise")(score, jax.random.key(0), x))


def test_names_and_bad_settings():
    assert fgsm(norm="l2", direction="lower").name == "fgsm-l2-lower"
    with pytest.raises(ValueError, match="eps must be above 0 and finite, got 0"):
        fgsm(0)
    with pytest.raises(ValueError, match="unknown norm 'l1'; choose one of linf, l2"):
        fgsm(norm="l1")
