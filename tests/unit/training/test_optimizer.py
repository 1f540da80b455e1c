"""The optimiser's schedules and limits, against their formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from quick_models import quick_jit

from robust_iqa_jax.training.config import TrainConfig
from robust_iqa_jax.training.optimizer import make_optimizer
from robust_iqa_jax.training.run import resolve

TOTAL = 40


def lengths(config: TrainConfig, gradients: np.ndarray) -> np.ndarray:
    """How far one weight of the head goes at each step."""
    optimizer, params = make_optimizer(config, TOTAL), {"head": {"w": jnp.zeros(1)}}
    state, gone = optimizer.init(params), []
    for gradient in gradients:
        updates, state = optimizer.update({"head": {"w": jnp.full(1, gradient)}}, state, params)
        gone.append(float(updates["head"]["w"][0]))
    return np.array(gone)


@pytest.mark.parametrize("decay", ["cosine", "steps"])
def test_rates_rise_along_a_line_and_then_are_those_without_warm_up(decay):
    # Adam under one gradient for ever goes its rate at every step
    config = TrainConfig(learning_rate=0.1, decay=decay)
    plain = lengths(config, np.ones(TOTAL))
    warm = lengths(TrainConfig(learning_rate=0.1, decay=decay, warmup=9), np.ones(TOTAL))
    share = np.minimum(1, (np.arange(TOTAL) + 1) / 10)
    np.testing.assert_allclose(warm, plain * share, rtol=1e-5)


def test_a_long_gradient_is_scaled_down_to_the_limit():
    gradients = {"backbone": {"stem": jnp.array([3.0, 0.0])}, "head": {"w": jnp.array([4.0])}}
    config = TrainConfig(clip=1.0, backbone_factor=1)
    optimizer, plain = make_optimizer(config, TOTAL), make_optimizer(TrainConfig(backbone_factor=1), TOTAL)
    params = jax.tree.map(jnp.zeros_like, gradients)

    def moments(optimizer, gradients):
        state = quick_jit(lambda gradients: optimizer.update(gradients, optimizer.init(params), params)[1])(gradients)
        return [np.asarray(leaf) for leaf in jax.tree.leaves(state)]

    fifth = jax.tree.map(lambda g: g / 5, gradients)  # the norm of all of it is 5
    for clipped, expected in zip(moments(optimizer, gradients), moments(plain, fifth), strict=True):
        np.testing.assert_allclose(clipped, expected, rtol=1e-6)
    assert optax.tree.norm(fifth) == pytest.approx(1)


@pytest.mark.parametrize(("field", "value"), [("warmup", -1), ("clip", 0.0), ("clip", float("nan"))])
def test_limits_that_mean_nothing_are_refused(field, value):
    with pytest.raises(ValueError, match=f"^{field} "):
        resolve(TrainConfig(**{field: value}), np.linspace(0, 100, 64))
