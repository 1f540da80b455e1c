"""I-FGSM against numpy transcriptions of MSU's loop and of NT's demo."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_score import gradient, images, score

from robust_iqa_jax.attacks import ifgsm, pgd


@pytest.mark.parametrize(("steps", "step_size"), [(10, None), (3, 0.03)])
def test_equals_the_loop_of_msu(steps, step_size):
    x, eps = images().astype(np.float64), 10 / 255
    with jax.enable_x64(True):
        ours = ifgsm(eps, steps, step_size=step_size)(score, jax.random.key(0), jnp.asarray(x))
    p = np.zeros_like(x)
    for _ in range(steps):
        p = np.clip(p + (step_size or 1 / 255) * np.sign(gradient(np.clip(x + p, 0, 1))), -eps, eps)
    np.testing.assert_allclose(ours, np.clip(x + p, 0, 1), atol=1e-12)


def test_one_step_towards_the_other_end_is_what_nt_calls_fgsm():
    x = images().astype(np.float64)
    shifted = lambda v: score(v) + 50 - clean.mean()  # noqa: E731
    with jax.enable_x64(True):
        clean = score(jnp.asarray(x))
        attack = ifgsm(0.03, 1, step_size=0.01, direction="opposite")
        ours = attack(shifted, jax.random.key(0), jnp.asarray(x))
    above = np.asarray(clean) > np.asarray(clean).mean()
    assert 0 < above.sum() < 4  # both branches are taken
    way = np.where(above, -1, 1)[:, None, None, None]
    np.testing.assert_allclose(ours, np.clip(x + 0.01 * way * np.sign(gradient(x)), 0, 1), atol=1e-12)


def test_l2_steps_of_the_same_size_are_those_of_pgd_without_a_random_start():
    x, eps, steps = jnp.asarray(images()), 0.8, 5
    ours = ifgsm(eps, steps, step_size=2.5 * eps / steps, norm="l2")(score, jax.random.key(0), x)
    other = pgd(eps, steps, norm="l2", random_start=False)(score, jax.random.key(0), x)
    np.testing.assert_allclose(ours, other, atol=1e-6)


def test_names_and_bad_settings():
    assert ifgsm(norm="l2", direction="lower").name == "ifgsm-10-l2-lower"
    with pytest.raises(ValueError, match="step_size must be above 0, got -1"):
        ifgsm(step_size=-1)
    with pytest.raises(ValueError, match="steps must be above 0"):
        ifgsm(steps=0)
