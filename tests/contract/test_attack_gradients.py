"""Gradients that lead nowhere: a derivative that is not finite spoils no image, and dead ones are said, by image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from attack_table import FITTED, FOLLOWING, KEY, attacked, each, photos, score, smallest

from robust_iqa_jax import attacks
from robust_iqa_jax.attacks.score_contract import dependable

X = photos()
NOTHING = "the score's gradient is zero or not finite everywhere for {} of 2 images; their results show no robustness"


def with_a_broken_pixel(x):
    """`score` of the other pixels: a finite score, whose derivative by the first value of each image is NaN."""
    return score(x.at[:, 0, 0, 0].set(0.5)) + jnp.sqrt(x[:, 0, 0, 0] - x[:, 0, 0, 0])


def half_dead(x):
    """A score that is flat on dark images, those of a mean below 0.1, and has a broken pixel on the others."""
    return jnp.where(x.mean((1, 2, 3)) < 0.1, 0.0, with_a_broken_pixel(x))


ALIKE = ("fgsm", "i-fgsm", "ami-fgsm")
"""As pgd, but for settings."""


@each(*(name for name in FOLLOWING if name not in (*FITTED, *ALIKE)))
def test_a_derivative_that_is_not_finite_counts_as_zero_and_dead_gradients_are_counted_image_by_image(name):
    x = np.stack([X[0], np.zeros_like(X[0])])
    settings = {"keep_best": True} if name == "korhonen" else {}
    with pytest.warns(UserWarning, match=NOTHING.format(1)):
        result = np.asarray(attacked(smallest(name, **settings), half_dead, x))
    assert np.isfinite(result).all()
    if name != "nes":  # whose few queries lead anywhere
        assert float(score(result)[0]) > float(score(x)[0])


@pytest.mark.parametrize("name", ["uap", "uap-cumulative"])
def test_a_derivative_that_is_not_finite_counts_as_zero_in_a_fit(name):
    gradient = np.asarray(jax.grad(lambda x: with_a_broken_pixel(x).sum())(X))
    assert np.isnan(gradient[:, 0, 0, 0]).all()
    result = np.asarray(attacked(smallest(name), with_a_broken_pixel, X))
    assert np.isfinite(result).all()
    assert (np.asarray(score(result)) > np.asarray(score(X))).all()


def test_infinite_derivatives_count_as_zero_too_and_finite_ones_stay_as_they_are():
    weights = jnp.asarray(np.random.default_rng(1).normal(size=X.shape[1:]), jnp.float32)

    def broken(x):
        return (x * weights).sum((1, 2, 3)) + jnp.sqrt(x[:, 1, 1, 1] - 0.5)

    x = jnp.asarray(X).at[:, 1, 1, 1].set(0.5)
    assert np.isinf(jax.grad(lambda x: broken(x).sum())(x)[:, 1, 1, 1]).all()
    expected = np.broadcast_to(weights, X.shape).copy()
    expected[:, 1, 1, 1] = 0
    gradient = jax.grad(lambda x: dependable(broken)(x).sum())
    np.testing.assert_array_equal(gradient(x), expected)
    np.testing.assert_array_equal(jax.jit(jax.vmap(gradient))(x[None])[0], expected)
    np.testing.assert_array_equal(dependable(broken)(x), broken(x))


def rounded(x):
    return jnp.round(score(x) + 1) - 1


def broken(x):
    return jnp.sqrt(x.mean((1, 2, 3)) - x.mean((1, 2, 3)))


@each("uap", "uap-generative", "facpa", "fgsm", "nes")
def test_gradients_that_are_zero_or_not_finite_everywhere_are_said(name):
    scorer = rounded if name in (*FITTED, "nes") else broken
    with pytest.warns(UserWarning, match=NOTHING.format(2)):
        result = attacked(smallest(name), scorer, X)
    assert np.isfinite(np.asarray(result)).all()


def test_some_live_gradients_are_enough():
    attacks.pgd()(lambda x: jnp.maximum(x[:, 3, 3, 0], 0.0), KEY, X)  # a warning would be an error


def test_a_score_that_is_not_a_number_later_on_is_an_error():
    scorer = lambda x: jnp.where(x[:, 0, 0, 0] > 0.9, jnp.nan, score(x))  # noqa: E731
    bad = X.copy()
    bad[1, 0, 0, 0] = 1.0
    for attack in (attacks.fgsm(), attacks.square(queries=3), attacks.apgd(steps=2, random_start=False)):
        attack(scorer, KEY, X)
        with pytest.raises(ValueError, match=f"attack: {attack.name}: the score of 1 of 2 images is NaN or infinite"):
            attack(scorer, KEY, bad)
