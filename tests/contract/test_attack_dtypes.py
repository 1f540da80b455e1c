"""Attacks on pixels of every type, against scores of every type: the ball holds against the caller's pixels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from attack_table import FOLLOWING, KEY, SLOW, attacked, photos, score, smallest

from robust_iqa_jax.attacks.fitting import _epoch
from robust_iqa_jax.attacks.registry import ATTACKS

EPS = 1 / 255


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", ["fgsm", "square", "uap", "quantise"])  # both entries, with and without a ball
def test_half_precision_is_attacked_as_the_same_pixels_in_float32(name, dtype):
    images = jnp.asarray(photos(seed=2), dtype)
    settings = {"eps": EPS} if ATTACKS[name].eps else {}
    result = attacked(smallest(name, **settings), score, images)
    assert result.dtype == "float32"
    clean, result = np.asarray(images.astype("float32"), np.float64), np.asarray(result, np.float64)
    assert np.isfinite(result).all()
    assert result.min() >= 0
    assert result.max() <= 1
    assert (np.abs(result - clean).max((1, 2, 3)) > 1e-5).all()
    if settings:
        assert np.abs(result - clean).max() <= EPS + 2**-24  # half a unit in the last place of a pixel near one


def test_an_l2_ball_holds_although_thousands_of_pixels_round():
    images = jnp.asarray(photos(side=64, seed=2), jnp.float16)
    result = attacked(smallest("pgd", norm="l2", eps=0.5, restarts=1), score, images)
    moved = np.asarray(result, np.float64) - np.asarray(images, np.float64)
    length = np.linalg.norm(moved.reshape(2, -1), axis=1)
    assert (length <= 0.5 + 1e-6).all()
    assert (length > 0.1).all()


TYPED = [(name, jnp.float64) for name in [*FOLLOWING, "square"] if name not in SLOW] + [("fgsm", jnp.bfloat16)]


@pytest.mark.parametrize(("name", "dtype"), TYPED)
def test_a_metric_in_float64_or_half_precision_is_attacked_too(name, dtype):
    metric = jax.tree_util.Partial(lambda x: score(x.astype(jnp.float64)).astype(dtype))
    with jax.enable_x64(True):
        images = jnp.asarray(photos(), jnp.float32)
        shape = jax.eval_shape(lambda x: attacked_by_shape(smallest(name), metric, x), images)
    assert shape == jax.ShapeDtypeStruct(images.shape, jnp.float32)


def attacked_by_shape(attack, metric, images):
    if not hasattr(attack, "fit"):
        return attack(metric, KEY, images)
    pattern = attack.start(KEY, images.shape[1:])
    result = _epoch(attack, metric, pattern, attack.rule().init(pattern), images, jnp.zeros((1, 2), int))
    return images + attack.perturbation(result[0]).astype(images.dtype)
