"""The generator draws over noise that stays; its ball, and that fitting it raises scores."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_score import images, score

from robust_iqa_jax.attacks.uap_generator import GenerativeUAP
from robust_iqa_jax.functional.unet import unet


@pytest.mark.slow
def test_the_pattern_is_what_the_network_draws_of_the_noise():
    fitting = GenerativeUAP(0.25, width=2)
    parameters = fitting.start(jax.random.key(0), (6, 5, 3))
    drawn = unet(parameters["unet"], parameters["noise"][None])[0]
    np.testing.assert_allclose(fitting.perturbation(parameters), 0.25 * np.tanh(drawn), atol=1e-7)
    gradient = jax.grad(lambda p: fitting.perturbation(p).sum())(parameters)
    assert not np.asarray(gradient["noise"]).any()


@pytest.mark.slow
def test_fitting_it_raises_scores_of_other_images_inside_the_ball():
    fitting = GenerativeUAP(8 / 255, width=2, epochs=10, learning_rate=0.02)
    attack = fitting.fit(score, jax.random.key(0), images(8))
    other = images(8, seed=5)
    attacked = attack(score, jax.random.key(1), other)
    assert attack.name == "uap-generative"
    assert float((score(attacked) - score(other)).min()) > 0
    assert np.abs(np.asarray(attack.pattern)).max() <= 1
    assert np.abs(np.asarray(attacked) - other).max() <= 8 / 255 + 1e-7
    again = fitting.fit(score, jax.random.key(0), images(8))
    np.testing.assert_array_equal(attack.pattern, again.pattern)


def test_bad_settings_and_thin_images_are_refused():
    with pytest.raises(ValueError, match="width must be above 0"):
        GenerativeUAP(width=0)
    with pytest.raises(ValueError, match="sides of 2 pixels or more expected, got 1 x 5"):
        GenerativeUAP(width=1).fit(score, jax.random.key(0), jnp.zeros((1, 1, 5, 3)))
