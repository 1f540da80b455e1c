"""AMI-FGSM against a numpy transcription of MSU's loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_score import gradient, images, score

from robust_iqa_jax.attacks import amifgsm, mifgsm


@pytest.mark.parametrize(("eps", "steps", "momentum"), [(10 / 255, 10, 1.0), (0.3, 4, 1.0), (0.3, 7, 0.5)])
def test_equals_the_loop_of_msu(eps, steps, momentum):
    x = images().astype(np.float64)
    with jax.enable_x64(True):
        ours = amifgsm(eps, steps, momentum=momentum)(score, jax.random.key(0), jnp.asarray(x))
    adversarial, g = x, np.zeros_like(x)
    for _ in range(steps):
        g = gradient(adversarial) + momentum * g
        adversarial = np.clip(adversarial + eps / steps * np.sign(g), 0, 1)
    np.testing.assert_allclose(ours, adversarial, atol=1e-12)


def test_differs_from_mifgsm_only_where_pixels_turn_back_from_black_or_white():
    x, eps = images(), 0.6
    ours = np.asarray(amifgsm(eps)(score, jax.random.key(0), jnp.asarray(x)))
    other = np.asarray(mifgsm(eps, normalise=False)(score, jax.random.key(0), jnp.asarray(x)))
    middle = np.asarray(0.3 + 0.4 * x, np.float32)
    inner = [attack(score, jax.random.key(0), jnp.asarray(middle)) for attack in _of_equal_steps(0.25)]
    assert np.abs(ours - other).max() > 1e-2
    np.testing.assert_allclose(*inner, atol=1e-6)


def _of_equal_steps(eps):
    return amifgsm(eps), mifgsm(eps, normalise=False)


def test_names_and_bad_settings():
    assert amifgsm(steps=5, norm="l2").name == "amifgsm-5-l2"
    with pytest.raises(ValueError, match="eps must be above 0"):
        amifgsm(0)
