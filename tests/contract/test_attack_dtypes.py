"""Every attack on pixels of every type, against scores of every type: the ball holds against the caller's pixels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from attack_table import FOLLOWING, KEY, attacked, each, photos, score, smallest

from robust_iqa_jax.attacks.registry import ATTACKS

pytestmark = pytest.mark.usefixtures("hardly_optimised")
EPS = 1 / 255


@each(*ATTACKS)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64"])
def test_the_ball_holds_in_exact_arithmetic_and_something_moves(name, dtype):
    with jax.enable_x64(dtype == "float64"):
        images = jnp.asarray(photos(seed=2), dtype)
        settings = {"eps": EPS} if ATTACKS[name].eps else {}
        result = attacked(smallest(name, **settings), score, images)
        assert result.dtype == ("float64" if dtype == "float64" else "float32")
        clean, result = (
            np.asarray(images.astype("float64" if dtype == "float64" else "float32"), np.float64),
            np.asarray(result, np.float64),
        )
    assert np.isfinite(result).all()
    assert result.min() >= 0
    assert result.max() <= 1
    assert (np.abs(result - clean).max((1, 2, 3)) > 1e-5).all()
    if settings:
        rounding = 1e-12 if dtype == "float64" else 2**-24  # half a unit in the last place of a pixel near one
        assert np.abs(result - clean).max() <= EPS + rounding


@pytest.mark.parametrize("norm", ["pgd", "apgd", "nes", "square"])
def test_l2_in_half_precision(norm):
    images = jnp.asarray(photos(side=64, seed=2), jnp.float16)
    result = attacked(smallest(norm, norm="l2", eps=0.5), score, images)
    moved = np.asarray(result, np.float64) - np.asarray(images, np.float64)
    length = np.linalg.norm(moved.reshape(2, -1), axis=1)
    assert (length <= 0.5 + 1e-6).all()
    assert (length > 0.1).all()


@pytest.mark.parametrize("name", [*FOLLOWING, "square"])
def test_a_metric_in_float64_or_half_precision_is_attacked_too(name):
    with jax.enable_x64(True):
        images = jnp.asarray(photos(), jnp.float32)
        for dtype in (jnp.float64, jnp.bfloat16):
            metric = lambda x, dtype=dtype: score(x.astype(jnp.float64)).astype(dtype)  # noqa: E731
            shape = jax.eval_shape(lambda x, metric=metric: attacked_by_shape(name, metric, x), images)
            assert shape == jax.ShapeDtypeStruct(images.shape, jnp.float32)


def attacked_by_shape(name, metric, images):
    attack = smallest(name)
    if not hasattr(attack, "fit"):
        return attack(metric, KEY, images)
    from robust_iqa_jax.attacks.uap import _epoch

    pattern = attack.start(KEY, images.shape[1:])
    done = _epoch(attack, metric_pytree(metric), pattern, attack.rule().init(pattern), images, jnp.zeros((1, 2), int))
    return images + attack.perturbation(done[0]).astype(images.dtype)


def metric_pytree(metric):
    return jax.tree_util.Partial(metric)
