"""What restarts and best iterates promise: never less, image by image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_score import images, score, value

from robust_iqa_jax.attacks import apgd, pgd

STEEP = 0.5  # a ball in which the score is far from linear and starts lead to different ends


@pytest.mark.parametrize("attack", [pgd(3.0, 2, norm="l2"), apgd(STEEP, 5)], ids=lambda a: a.name)
def test_more_restarts_never_give_less(attack):
    x = images(16).astype(np.float64)
    with jax.enable_x64(True):
        one, three = (value(attack.replace(restarts=n)(score, jax.random.key(2), jnp.asarray(x))) for n in (1, 3))
    assert (three >= one - 1e-9).all()
    assert (three > one + 1e-3).any()


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 100), eps=st.floats(0.01, 0.9))
def test_the_best_iterate_is_at_least_the_last(seed, eps):
    x, key = jnp.asarray(images(8, seed)), jax.random.key(seed)
    last, best = pgd(eps, 3)(score, key, x), pgd(eps, 3, keep_best=True)(score, key, x)
    assert (value(best) >= value(last) - 1e-4).all()


def test_restarts_of_the_same_start_are_refused():
    with pytest.raises(ValueError, match="2 restarts need random starts"):
        pgd(restarts=2, random_start=False)
    with pytest.raises(ValueError, match="restarts must be above 0, got 0"):
        apgd(restarts=0)
