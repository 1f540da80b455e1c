"""Noise controls: their lengths and distributions, and rounding to 8 bits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from robust_iqa_jax.attacks.noise import GaussianNoise, UniformNoise
from robust_iqa_jax.attacks.quantise import Quantise

KEY = jax.random.key(0)
EPS = 8 / 255
GREY = jnp.full((2, 64, 64, 3), 0.5)


def noise(attack, images=GREY):
    return np.asarray(attack(lambda x: x.sum((1, 2, 3)), KEY, images), np.float64) - np.asarray(images, np.float64)


def test_uniform_noise_is_uniform_in_the_linf_ball():
    drawn = noise(UniformNoise(EPS))
    assert stats.kstest(drawn.ravel(), stats.uniform(-EPS, 2 * EPS).cdf).pvalue > 1e-3
    assert not np.allclose(drawn[0], drawn[1])


def test_random_signs_are_the_corners_of_the_ball():
    drawn = noise(UniformNoise(EPS, signs=True))
    np.testing.assert_allclose(np.abs(drawn), EPS, rtol=1e-5)
    assert (drawn > 0).mean() == pytest.approx(0.5, abs=0.02)


def test_gaussian_noise_is_normal_inside_and_cut_at_the_bounds():
    drawn = noise(GaussianNoise(EPS))
    inside = drawn[np.abs(drawn) < EPS * (1 - 1e-5)]
    assert stats.kstest(inside / EPS, stats.truncnorm(-1, 1).cdf).pvalue > 1e-3
    assert (np.abs(drawn) >= EPS * (1 - 1e-5)).mean() == pytest.approx(2 * stats.norm.sf(1), abs=0.01)
    assert np.sqrt((drawn**2).mean()) / EPS == pytest.approx(0.72, abs=0.01)


@pytest.mark.parametrize("attack", [UniformNoise(2.0, norm="l2"), GaussianNoise(2.0, norm="l2")], ids=lambda a: a.name)
def test_l2_noise_has_the_length_of_the_ball_and_no_preferred_direction(attack):
    drawn = noise(attack)
    lengths = np.sqrt((drawn**2).sum((1, 2, 3)))
    assert (lengths <= 2).all()
    assert (lengths >= 2 * (0.999 if attack.name.startswith("uniform") else 1 - 1e-5)).all()
    assert stats.kstest(drawn.ravel() / drawn.std(), stats.norm.cdf).pvalue > 1e-3


@pytest.mark.parametrize("attack", [UniformNoise(EPS), GaussianNoise(1.0, norm="l2")], ids=lambda a: a.name)
def test_noise_keeps_to_the_image_range(attack):
    ends = jnp.stack([jnp.zeros((64, 64, 3)), jnp.ones((64, 64, 3))])
    drawn = noise(attack, ends)
    assert (np.asarray(ends) + drawn).min() >= 0
    assert (np.asarray(ends) + drawn).max() <= 1
    assert (drawn == 0).mean() == pytest.approx(0.5, abs=0.02)


def test_quantise_gives_the_nearest_of_256_levels():
    x = np.random.default_rng(0).uniform(0, 1, (2, 6, 5, 3)).astype(np.float32)
    found = np.asarray(Quantise()(lambda v: v.sum((1, 2, 3)), KEY, x))
    np.testing.assert_allclose(found, np.round(x.astype(np.float64) * 255) / 255, atol=1e-7)
    np.testing.assert_array_equal(np.round(found * 255).astype(np.uint8), np.round(x * 255).astype(np.uint8))
    assert Quantise().eps is None


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="an l2 ball has no corners; drop signs=True"):
        UniformNoise(1.0, norm="l2", signs=True)
    with pytest.raises(ValueError, match="eps must be above 0"):
        GaussianNoise(0)
    with pytest.raises(ValueError, match="unknown norm 'l1'"):
        UniformNoise(norm="l1")
