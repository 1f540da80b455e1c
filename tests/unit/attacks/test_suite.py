"""The suite is at least as strong as each of its members, and says which of them won."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_score import images, score

from robust_iqa_jax.attacks.objective import objective
from robust_iqa_jax.attacks.square import Square
from robust_iqa_jax.attacks.suite import AttackSuite

KEY = jax.random.key(2)


def wavy(x):
    """A score on which different attacks win: smooth for some images, misleading gradients for others."""
    fine = jnp.sin(400 * x).mean((1, 2, 3)) * 10
    return jnp.where(x[:, 0, 0, 0] > 0.5, score(x), score(x) + fine)


@pytest.mark.parametrize(
    ("direction", "norm"), [("raise", "linf"), pytest.param("change", "l2", marks=pytest.mark.slow)]
)
def test_is_as_strong_as_the_strongest_member_on_every_image(direction, norm):
    suite = AttackSuite(0.03 if norm == "linf" else 0.3, 6, direction=direction, norm=norm, restarts=2, queries=30)
    with jax.enable_x64(True):  # so that one program and several agree
        x = jnp.asarray(images().astype(np.float64))
        keys = jax.random.split(KEY, 4)
        found = suite(wavy, keys, x)
        wanted = objective(wavy, x, direction)
        results = suite.each(wavy, keys, x)
        values = np.stack([np.asarray(result.values) for result in results])
        for member, result in zip(suite.members, results, strict=True):
            assert result.name == member.name
            np.testing.assert_allclose(result.images, member(wavy, keys, x), atol=1e-12)
            np.testing.assert_allclose(result.values, wanted(result.images), atol=1e-9)
        np.testing.assert_allclose(wanted(found), values.max(0), atol=1e-6)
        winners = values.argmax(0)
    for i in range(4):
        np.testing.assert_allclose(found[i], results[winners[i]].images[i], atol=1e-9)
    assert (values.max(0) > values.min(0)).all()


@pytest.mark.slow
def test_square_wins_where_gradients_vanish():
    flat = lambda x: jnp.round(score(x) * 4) / 4  # noqa: E731
    with pytest.warns(UserWarning, match="gradient is zero or not finite everywhere for 4 of 4 images"):
        results = AttackSuite(0.03, 3, restarts=1, queries=50).each(flat, KEY, images())
    values = {result.name: np.asarray(result.values) for result in results}
    square = values.pop(Square(0.03, 50).name)
    assert (square >= np.stack(list(values.values())).max(0)).all()
    assert (square > np.stack(list(values.values())).max(0)).any()


def test_members_share_ball_and_direction():
    for member in AttackSuite(0.02, 7, direction="lower", norm="l2").members:
        assert (member.eps, member.direction, member.norm) == (0.02, "lower", "l2")


@pytest.mark.parametrize(("setting", "message"), [("queries", "queries must be above 0"), ("steps", "steps must be")])
def test_bad_settings_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        AttackSuite(**{setting: 0})
