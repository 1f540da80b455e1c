"""Consistency training: the attack against closed forms, its ball and its draws; the distance and the schedule."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_score import WEIGHTS, images, score

from robust_iqa_jax.attacks.arguments import example_keys
from robust_iqa_jax.defenses.consistency import ConsistencyConfig, attacked_images, budget, score_distance

EPS = np.float32(4 / 255)


def linear(x):
    return (x * jnp.asarray(WEIGHTS, x.dtype)).sum((1, 2, 3))


def attack(config, x, first=0, score=score):
    keys = example_keys(jax.random.key(0), len(x), first)
    return np.asarray(attacked_images(config, score, keys, jnp.asarray(x), jnp.float32(EPS)))


@pytest.mark.parametrize("lowered", [0.0, 1.0])
def test_two_steps_of_eps_end_in_the_corner_that_a_linear_score_points_to(lowered):
    x = images(6)
    expected = np.clip(x + (1 - 2 * lowered) * EPS * np.sign(WEIGHTS), 0, 1)
    moved = attack(ConsistencyConfig(lowered=lowered, smallest_step=1, steps=2), x, score=linear)
    np.testing.assert_allclose(moved, expected, atol=1e-6)


def test_an_attack_that_asks_several_scores_of_each_photo_pushes_each_its_own_way():
    x = 0.2 + 0.6 * images(16)
    moved = attack(ConsistencyConfig(attack="nes", steps=2), x, score=linear)
    change = np.asarray(linear(jnp.asarray(moved)) - linear(jnp.asarray(x)))
    up, down = (
        np.asarray(attack(ConsistencyConfig(attack="nes", steps=2, lowered=w), x, score=linear)) for w in (0, 1)
    )
    pushed = np.where(change[:, None, None, None] > 0, up, down)
    np.testing.assert_allclose(moved, pushed, atol=1e-6)
    assert 0 < (change > 0).sum() < 16


@pytest.mark.parametrize("attack_name", ["pgd-mixed", "mi-fgsm"])
def test_attacked_photos_stay_in_their_ball_and_in_range(attack_name):
    x = np.round(images(6) * 1.6 - 0.3, 1).clip(0, 1).astype(np.float32)
    moved = attack(ConsistencyConfig(attack=attack_name, steps=3), x)
    assert moved.min() >= 0
    assert moved.max() <= 1
    assert np.abs(moved - x).max() <= EPS * (1 + 1e-6) + 1e-7
    assert np.abs(moved - x).max() > EPS / 4


def test_each_photo_draws_its_own_direction_start_and_step_and_repeats_alone():
    x = np.repeat(images(1), 16, axis=0)
    moved = attack(ConsistencyConfig(steps=1), x)
    rises = np.asarray(score(jnp.asarray(moved)) - score(jnp.asarray(x)))
    assert 3 <= (rises > 0).sum() <= 13
    lengths = np.abs(moved - x).max((1, 2, 3))
    assert len(np.unique(lengths.round(7))) > 4  # most pixels of the others end at the ball's face
    np.testing.assert_array_equal(attack(ConsistencyConfig(steps=1), x[5:6], first=5), moved[5:6])


def test_radii_are_spread_evenly_in_their_logarithm():
    x = np.full((256, *images(1).shape[1:]), 0.5, np.float32)
    moved = attack(ConsistencyConfig(steps=2, smallest_step=1, smallest_radius=1 / 16, at_photo=1), x)
    radii = np.sort(np.abs(moved - x).max((1, 2, 3))) / EPS
    np.testing.assert_allclose(radii[[63, 127, 191]], [1 / 8, 1 / 4, 1 / 2], rtol=0.25)
    assert radii[0] >= 1 / 16 * (1 - 1e-4)


def test_a_start_at_the_photo_leaves_nothing_but_the_steps():
    x = np.full((32, *images(1).shape[1:]), 0.5, np.float32)
    settings = {"steps": 1, "smallest_step": 0.125, "lowered": 0}
    at_photo = np.abs(attack(ConsistencyConfig(at_photo=1, **settings), x) - x)
    np.testing.assert_allclose(at_photo.min((1, 2, 3)), at_photo.max((1, 2, 3)), rtol=1e-3)  # one length a photo
    half = np.abs(attack(ConsistencyConfig(at_photo=0.5, **settings), x) - x)
    same = np.isclose(half.min((1, 2, 3)), half.max((1, 2, 3)), rtol=1e-3)
    assert 8 <= same.sum() <= 24


def test_the_distance_is_hubers_in_standard_deviations_of_the_clean_scores():
    rng = np.random.default_rng(0)
    clean, change = rng.normal(50, 20, 32), rng.normal(0, 30, 32)
    d = np.abs(change) / clean.std()
    expected = np.where(d < 1, d**2 / 2, d - 0.5).mean()
    assert expected == pytest.approx(float(score_distance(*map(jnp.float32, (clean, clean + change)))), rel=1e-5)
    shrunk = score_distance(*map(jnp.float32, (clean / 100, (clean + change) / 100)))
    assert expected == pytest.approx(float(shrunk), rel=1e-4)  # nothing is gained by shrinking all scores


def test_eps_and_beta_rise_along_lines_and_then_stay():
    config = ConsistencyConfig(beta=2, eps=5 / 255, ramp=0.5)
    values = [budget(config, jnp.float32(step), 100) for step in (0, 25, 50, 99)]
    shares = np.array([1 / 51, 26 / 51, 1, 1])
    np.testing.assert_allclose([v.beta for v in values], 2 * shares, rtol=1e-6)
    np.testing.assert_allclose([v.eps for v in values], (1 + 4 * shares) / 255, rtol=1e-6)
    still = budget(ConsistencyConfig(beta=2, eps=5 / 255, ramp=0), jnp.float32(0), 100)
    np.testing.assert_allclose(still, (5 / 255, 2), rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beta": -1}, "beta must not be negative"),
        ({"eps": 0}, "eps must be above 0"),
        ({"smallest_radius": 0}, "smallest_radius must be above 0"),
        ({"smallest_radius": 2}, "smallest_radius must lie between 0 and 1"),
        ({"at_photo": -0.1}, "at_photo must lie between 0 and 1"),
        ({"lowered": 1.5}, "lowered must lie between 0 and 1"),
        ({"attack": "pgdd"}, "did you mean pgd"),
        ({"attack": "uap"}, "uap must be fitted first"),
        ({"attack": "multi-square"}, "multi-square has no eps, no steps, or no one way to push"),
        ({"attack": "jpeg"}, "jpeg has no eps, no steps, or no one way to push"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ConsistencyConfig(**settings)
