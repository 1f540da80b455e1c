"""APGD against algorithm 1 of its paper written in numpy, and what its step halving is for."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_score import WEIGHTS, gradient, images, linear, score, value

from robust_iqa_jax.attacks import apgd, pgd
from robust_iqa_jax.attacks.apgd import CHECKPOINTS


def project(x, to, eps, norm):
    """On the ball and on [0,1]; for l2 the box first."""
    if norm == "linf":
        return np.clip(np.clip(to, x - eps, x + eps), 0, 1)
    p = np.clip(to, 0, 1) - x
    return x + p * min(1, eps * (1 - 8 * np.finfo(float).eps) / np.linalg.norm(p)) if p.any() else x


def algorithm_1(x, eps, steps, norm):
    """One image, from itself; returns the best image and the number of halvings."""
    value_of = lambda v: value(v[None])[0]  # noqa: E731
    unit = lambda g: np.sign(g) if norm == "linf" else g / np.linalg.norm(g)  # noqa: E731
    p = [0, 22]
    while p[-1] < 100:
        p.append(p[-1] + max(p[-1] - p[-2] - 3, 6))
    checkpoints = sorted({-(-share * steps // 100) for share in p[1:] if share <= 100})
    step, halvings = 2 * eps, 0
    at, before, at_value = x, x, value_of(x)
    best, best_value = x, at_value
    rises, last, best_then, size_then = [], 0, best_value, step
    for k in range(1, steps + 1):
        ahead = project(x, at + step * unit(gradient(at[None])[0]), eps, norm)
        to = ahead if k == 1 else project(x, at + 0.75 * (ahead - at) + 0.25 * (at - before), eps, norm)
        to_value = value_of(to)
        rises.append(to_value > at_value)
        if to_value > best_value:
            best, best_value = to, to_value
        before, at, at_value = at, to, to_value
        if k in checkpoints:
            few = sum(rises) < 0.75 * (k - last)
            flat = size_then == step and best_then == best_value
            rises, last, best_then, size_then = [], k, best_value, step
            if few or flat:
                step, halvings, at, at_value = step / 2, halvings + 1, best, best_value
    return best, halvings


def test_checkpoints_are_the_recurrence_of_the_paper():
    p = [0, *CHECKPOINTS]
    for before, (previous, following) in zip(p, pairwise(CHECKPOINTS), strict=False):
        assert following == previous + max(previous - before - 3, 6)
    assert CHECKPOINTS[0] == 22
    assert CHECKPOINTS[-1] + 6 > 100


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.3), ("l2", 2.0)])
def test_equals_algorithm_1_written_in_numpy(norm, eps):
    x, halvings = images(12).astype(np.float64), []
    for steps in (1, 2, 9, 40):  # one program
        with jax.enable_x64(True):
            ours = apgd(eps, steps, norm=norm, random_start=False)(score, jax.random.key(0), jnp.asarray(x))
        expected = [algorithm_1(image, eps, steps, norm) for image in x]
        np.testing.assert_allclose(ours, [image for image, _ in expected], atol=1e-9)
        halvings += [count for _, count in expected]
    assert len(set(halvings)) > 3  # images differ in when they halve


def test_a_first_step_can_be_given():
    x, eps, size = images().astype(np.float64), 0.1, 0.001
    with jax.enable_x64(True):
        ours = apgd(eps, 1, step_size=size, random_start=False)(score, jax.random.key(0), jnp.asarray(x))
    np.testing.assert_allclose(ours, np.clip(x + size * np.sign(gradient(x)), 0, 1), atol=1e-12)


def test_reaches_the_optimum_of_a_linear_score():
    x, eps, norm = np.full((2, 6, 5, 3), 0.5, np.float32), 0.3, "l2"
    gain = linear(apgd(eps, 10, norm=norm)(linear, jax.random.key(0), x)) - linear(x)
    np.testing.assert_allclose(gain, eps * np.linalg.norm(WEIGHTS), rtol=1e-4)


def test_halving_finds_a_maximum_inside_the_ball_that_fixed_steps_circle_around():
    peak = jnp.asarray(images(seed=9)) * 0.02 + 0.49
    near = lambda v: -jnp.abs(v - peak).sum((1, 2, 3))  # noqa: E731
    x, eps, steps = jnp.full((4, 6, 5, 3), 0.5), 0.1, 100
    fixed = near(pgd(eps, steps, random_start=False, keep_best=True)(near, jax.random.key(0), x))
    halved = near(apgd(eps, steps, random_start=False)(near, jax.random.key(0), x))
    assert (halved > fixed).all()


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="step_size must be above 0"):
        apgd(step_size=0)
    with pytest.raises(ValueError, match="3 restarts need random starts; drop random_start=False"):
        apgd(restarts=3, random_start=False)
