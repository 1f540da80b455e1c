"""FACPA against a numpy transcription of Adam on a network of one level; its ball, what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_models import quick_jit
from small_score import gradient, images, score

from robust_iqa_jax.attacks.facpa import FACPA, Drawn
from robust_iqa_jax.functional.unet import init_unet, unet


def test_adds_what_the_network_draws_for_each_image_of_whatever_size():
    x = np.random.default_rng(0).uniform(0, 1, (3, 7, 9, 3))
    with jax.enable_x64(True):
        network = init_unet(jax.random.key(1), (6, 5, 3), 2)
        attacked = Drawn(network, 0.2)(None, jax.random.key(0), jnp.asarray(x))
        of_one = quick_jit(unet)
        alone = [np.asarray(of_one(network, jnp.asarray(image[None]))[0]) for image in x]
    np.testing.assert_allclose(attacked, np.clip(x + 0.2 * np.tanh(np.stack(alone)), 0, 1), atol=1e-12)


@pytest.mark.slow
def test_fitting_is_adam_on_the_weights_of_the_mean_score():
    x, eps, rate = images(4).astype(np.float64), 0.1, 0.01
    fitting = FACPA(eps, width=1, epochs=3, learning_rate=rate)
    with jax.enable_x64(True):
        ours = fitting.fit(score, jax.random.key(0), jnp.asarray(x))
        begin, _ = jax.random.split(jax.random.key(0))
        weights, structure = jax.tree.flatten(init_unet(begin, (6, 5, 3), 1))
        weights = [np.asarray(leaf) for leaf in weights]
        first, second = [np.zeros_like(leaf) for leaf in weights], [np.zeros_like(leaf) for leaf in weights]

        def drawn(leaves):
            return eps * jnp.tanh(unet(jax.tree.unflatten(structure, leaves), jnp.asarray(x)))

        for t in range(1, 4):
            change, pull = jax.vjp(drawn, weights)
            shifted = x + np.asarray(change)
            inside = (shifted > 0) & (shifted < 1)
            rises = pull(jnp.asarray(gradient(np.clip(shifted, 0, 1)) * inside / len(x) / 100))[0]
            for i, g in enumerate(map(np.asarray, rises)):
                first[i], second[i] = 0.9 * first[i] + 0.1 * g, 0.999 * second[i] + 0.001 * g**2
                step = (first[i] / (1 - 0.9**t)) / (np.sqrt(second[i] / (1 - 0.999**t)) + 1e-8)
                weights[i] = weights[i] + rate * step
    for mine, expected in zip(jax.tree.leaves(ours.network), weights, strict=True):
        np.testing.assert_allclose(mine, expected, atol=1e-9)


@pytest.mark.slow
def test_raises_scores_of_other_images_inside_the_ball():
    fitting = FACPA(8 / 255, width=2, epochs=30, learning_rate=0.02)
    attack = fitting.fit(score, jax.random.key(0), images(8))
    assert attack.name == "facpa"
    other = images(8, seed=5)
    attacked = attack(score, jax.random.key(1), other)
    assert float((score(attacked) - score(other)).mean()) > 0
    assert np.abs(np.asarray(attacked) - other).max() <= 8 / 255 + 1e-7


def test_bad_settings_images_and_channels_are_refused():
    with pytest.raises(ValueError, match="width must be above 0"):
        FACPA(width=0)
    with pytest.raises(ValueError, match="sides of 2 pixels or more expected, got 1 x 5"):
        FACPA(width=1).fit(score, jax.random.key(0), jnp.zeros((1, 1, 5, 3)))
    with pytest.raises(ValueError, match="a network for images of 3 channels, got 1"):
        Drawn(init_unet(jax.random.key(0), (4, 4, 3), 1))(score, jax.random.key(0), jnp.zeros((1, 6, 5, 1)))
