"""Expectation over transformation: the mean of the draws and of their gradients, new at every point; samples traced."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_iqa_jax.attacks.apgd import APGD
from robust_iqa_jax.attacks.eot import EOT, Expectation, content_keys
from robust_iqa_jax.attacks.gradient import PGD
from robust_iqa_jax.attacks.transfer import Transfer

IMAGES = jnp.asarray(np.random.default_rng(0).uniform(0.2, 0.8, (3, 6, 5, 3)), jnp.float32)
WEIGHTS = jnp.asarray(np.random.default_rng(1).normal(size=(6, 5, 3)), jnp.float32)
PER_IMAGE = jax.vmap(jax.random.fold_in, (0, None))


@jax.tree_util.register_static
class Masked:
    """Scores a random half of the pixels, by tanh of a linear score."""

    traces = 0

    def draw(self, keys, images):
        kept = jax.vmap(lambda key: jax.random.bernoulli(key, 0.5, images.shape[1:]))(keys)
        return jnp.tanh((images * kept * WEIGHTS).sum((1, 2, 3)))

    def __call__(self, images):
        return self.draw(content_keys(jax.random.key(0), images), images)


MASKED = Masked()


def drawn(images, samples, seed):
    """Scores and gradients of the draws one by one."""
    keys = content_keys(jax.random.key(seed), images)
    one = lambda i: jax.vjp(lambda x: MASKED.draw(PER_IMAGE(keys, i), x), images)  # noqa: E731
    pairs = [one(i) for i in range(samples)]
    return np.stack([scores for scores, _ in pairs]), np.stack([pull(jnp.ones(3))[0] for _, pull in pairs])


def test_value_and_gradient_are_means_over_the_draws():
    scores, gradients = drawn(IMAGES, 7, seed=4)
    mean = Expectation(MASKED, 7, 4)
    np.testing.assert_allclose(mean(IMAGES), scores.mean(0), rtol=1e-5)
    weights = jnp.array([1.0, -2.0, 0.5])
    gradient = jax.jit(jax.grad(lambda x: (weights * mean(x)).sum()))(IMAGES)
    np.testing.assert_allclose(gradient, weights[:, None, None, None] * gradients.mean(0), rtol=1e-4, atol=1e-6)


def test_draws_are_an_images_own_in_any_batch_and_new_where_it_moved():
    mean = Expectation(MASKED, 2, 0)
    np.testing.assert_allclose(mean(IMAGES[1:2]), mean(IMAGES)[1:2], rtol=1e-6)
    key = jax.random.key(0)
    data = lambda images: np.asarray(jax.random.key_data(content_keys(key, images)))  # noqa: E731
    np.testing.assert_array_equal(data(IMAGES), data(IMAGES + 1e-8))
    assert (data(IMAGES) != data(IMAGES + 1 / 255)).any(1).all()
    assert len({row.tobytes() for row in data(IMAGES)}) == 3


def test_an_attack_on_the_mean_is_pgd_written_out():
    """Steps of signs of the mean gradient, new draws at each point."""
    eps, steps = 0.05, 3
    adversarial = EOT(PGD(eps, steps, random_start=False), samples=5, seed=2)(MASKED, 0, IMAGES)
    x = np.asarray(IMAGES)
    for _ in range(steps):
        _, gradients = drawn(jnp.asarray(x), 5, seed=2)
        x = np.clip(x + 2.5 * eps / steps * np.sign(gradients.mean(0)), IMAGES - eps, IMAGES + eps)
    np.testing.assert_allclose(adversarial, x, atol=2e-6)


def test_more_samples_are_another_number_of_the_same_program():
    traces = []

    @jax.tree_util.register_static
    class Counted(Masked):
        def draw(self, keys, images):
            traces.append(1)
            return super().draw(keys, images)

    scorer = Counted()
    EOT(PGD(0.05, 2), 2)(scorer, 0, IMAGES)
    once = len(traces)
    EOT(PGD(0.05, 2), 9)(scorer, 0, IMAGES)
    assert len(traces) == once


def test_an_attack_on_the_mean_beats_one_on_a_single_draw():
    gain = lambda attack: float((Expectation(MASKED, 200, 9)(attack(MASKED, 0, IMAGES)) - clean).mean())  # noqa: E731
    clean = Expectation(MASKED, 200, 9)(IMAGES)
    assert gain(EOT(PGD(0.05, 10), 30)) > gain(PGD(0.05, 10)) + 0.02


@pytest.mark.parametrize("inner", [PGD(0.05, 2, norm="l2"), APGD(0.05, 3, direction="lower")])
def test_name_ball_and_direction_are_those_of_the_attack(inner):
    attack = EOT(inner, 4)
    assert attack.name == f"{inner.name}-eot4"
    assert (attack.eps, attack.norm, attack.direction, attack.couples) == (0.05, inner.norm, inner.direction, False)
    change = np.asarray(attack(MASKED, 0, IMAGES) - IMAGES)
    length = np.abs(change).max() if inner.norm == "linf" else np.sqrt((change**2).sum((1, 2, 3))).max()
    assert 0 < length <= 0.05 + 1e-6


def test_scores_that_do_not_draw_and_no_samples_are_refused():
    with pytest.raises(ValueError, match=r"pgd-8-eot16 averages .* this score draws nothing; run pgd-8 itself"):
        EOT(PGD(0.05))(lambda x: x.sum((1, 2, 3)), 0, IMAGES)
    with pytest.raises(ValueError, match="attack: samples must be above 0, got 0"):
        EOT(PGD(0.05), 0)


def test_a_transferred_attack_is_the_attack_on_its_source():
    source = lambda x: (x * WEIGHTS).sum((1, 2, 3))  # noqa: E731
    attack = Transfer(PGD(0.05, 2), source, label="blind")
    assert (attack.name, attack.eps, attack.direction) == ("pgd-2-blind", 0.05, "raise")
    np.testing.assert_array_equal(attack(MASKED, 3, IMAGES), PGD(0.05, 2)(source, 3, IMAGES))
