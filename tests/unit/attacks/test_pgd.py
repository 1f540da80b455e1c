"""PGD against a numpy transcription of its formula, its ball, its keys, and how often it compiles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_score import WEIGHTS, gradient, images, score

from robust_iqa_jax.attacks import pgd
from robust_iqa_jax.attacks.arguments import example_keys
from robust_iqa_jax.attacks.ball import BALLS


@pytest.mark.parametrize("direction", ["raise", "lower"])
@pytest.mark.parametrize("steps", [1, 2, 8])
def test_equals_the_formula_written_in_numpy(steps, direction):
    x, eps, key = images().astype(np.float64), 6 / 255, jax.random.key(3)
    sign = 1 if direction == "raise" else -1
    with jax.enable_x64(True):
        start = BALLS["linf"].draw(example_keys(key, 4), jnp.asarray(x), jnp.asarray(eps))
        ours = pgd(eps, steps, direction=direction)(score, key, jnp.asarray(x))
    p, size = np.asarray(start), 1.25 * eps if steps == 1 else 2.5 * eps / steps
    for _ in range(steps):
        p = np.clip(p + sign * size * np.sign(gradient(np.clip(x + p, 0, 1))), -eps, eps)
    np.testing.assert_allclose(ours, np.clip(x + p, 0, 1), atol=1e-12)


@pytest.mark.parametrize("steps", [1, 3])
def test_authors_linearity_variant_leaves_its_ball_by_one_step(steps):
    x, eps, key = images().astype(np.float64), 4 / 255, jax.random.key(3)
    with jax.enable_x64(True):
        drawn = jax.vmap(lambda k: jax.random.uniform(k, x.shape[1:], jnp.float64))(example_keys(key, 4))
        ours = pgd(eps, steps, variant="authors-linearity")(score, key, jnp.asarray(x))
    p = np.asarray(drawn)
    for _ in range(steps):
        p = np.clip(p, -10 / 255, 10 / 255)
        p = p + eps * np.sign(gradient(np.clip(x + p, 0, 1)))
    np.testing.assert_allclose(ours, np.clip(x + p, 0, 1), atol=1e-12)


@settings(deadline=None, max_examples=25)
@given(eps=st.floats(1e-4, 0.5), seed=st.integers(0, 50), steps=st.sampled_from([1, 5]))
def test_stays_in_the_ball_and_in_the_image_range(eps, seed, steps):
    x = jnp.asarray(images(seed=seed)).at[0, 0].set(0).at[0, 1].set(1)
    adversarial = pgd(eps, steps)(score, jax.random.key(seed), x)
    assert float(adversarial.min()) >= 0
    assert float(adversarial.max()) <= 1
    single = np.float32(eps)  # the ball as float32 arithmetic has it
    assert (np.asarray(adversarial) <= np.asarray(x + single)).all()
    assert (np.asarray(adversarial) >= np.asarray(x - single)).all()


def test_reaches_the_optimum_of_a_linear_score():
    x = jnp.full((2, 6, 5, 3), 0.5)
    linear = lambda v: v.reshape(v.shape[0], -1) @ jnp.asarray(WEIGHTS.ravel(), v.dtype)  # noqa: E731
    gain = linear(pgd(8 / 255, 8)(linear, jax.random.key(0), x)) - linear(x)
    np.testing.assert_allclose(gain, 8 / 255 * np.abs(WEIGHTS).sum(), rtol=1e-4)


def test_an_image_alone_gives_the_same_as_in_a_batch_and_other_keys_give_others():
    x, keys = jnp.asarray(images()), jax.random.split(jax.random.key(5), 4)
    attack = pgd(4 / 255, 2)
    together = attack(score, keys, x)
    for i in range(4):
        np.testing.assert_allclose(attack(score, keys[i : i + 1], x[i : i + 1])[0], together[i], atol=1e-6)
    np.testing.assert_array_equal(together, attack(score, keys, x))
    assert np.abs(np.asarray(together - attack(score, jax.random.key(6), x))).max() > 1e-3


def test_a_sweep_over_sizes_and_steps_compiles_once():
    traces = []

    def counted(x):
        traces.append(x.shape)
        return score(x)

    x = jnp.asarray(images())
    pgd(1 / 255, 1)(counted, jax.random.key(0), x)
    first = len(traces)
    for eps in (2, 4, 6, 8, 10):
        for steps in (1, 8):
            pgd(eps / 255, steps)(counted, jax.random.key(0), x)
    assert first > 0
    assert len(traces) == first


def test_other_weights_of_a_scorer_pytree_compile_nothing_new():
    traces = []

    @jax.tree_util.register_pytree_node_class
    class Linear:
        def __init__(self, weights):
            self.weights = weights

        def __call__(self, x):
            traces.append(x.shape)
            return x.reshape(x.shape[0], -1) @ self.weights

        def tree_flatten(self):
            return (self.weights,), None

        @classmethod
        def tree_unflatten(cls, _, children):
            return cls(*children)

    x = jnp.asarray(images())
    one = pgd(4 / 255, 1)(Linear(jnp.asarray(WEIGHTS.ravel(), jnp.float32)), jax.random.key(0), x)
    first = len(traces)
    other = pgd(4 / 255, 1)(Linear(-jnp.asarray(WEIGHTS.ravel(), jnp.float32)), jax.random.key(0), x)
    assert len(traces) == first
    assert np.abs(np.asarray(one - other)).max() > 1e-3


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros((4, 6, 5)), "shape \\(n, height, width, channels\\) expected"),
        (np.zeros((1, 6, 5, 3), np.uint8), "divide 8-bit images by 255"),
        (np.full((1, 6, 5, 3), np.nan, np.float32), "hold NaN"),
        (np.full((1, 6, 5, 3), 1.5, np.float32), "pixels in \\[0, 1\\] expected, got 1.5 to 1.5"),
        ([np.zeros((6, 5, 3)), np.zeros((5, 5, 3))], "images of one size expected"),
    ],
)
def test_bad_images_are_refused_with_what_was_expected(bad, message):
    with pytest.raises(ValueError, match=message):
        pgd(4 / 255, 1)(score, jax.random.key(0), bad)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"eps": 0}, "eps must be above 0 and finite, got 0"),
        ({"eps": -1}, "eps must be above 0"),
        ({"steps": 0}, "steps must be above 0"),
        ({"steps": 8.0}, "steps must be a whole number, got 8.0"),
        ({"direction": "up"}, "unknown direction 'up'; choose one of raise, lower, opposite, change, invert"),
        ({"variant": "x"}, "unknown variant 'x'"),
    ],
)
def test_bad_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        pgd(**arguments)


def test_a_wrong_number_of_keys_is_refused():
    with pytest.raises(ValueError, match="one key or 4 keys"):
        pgd()(score, jax.random.split(jax.random.key(0), 3), jnp.asarray(images()))
