"""The perceptual attack against torch, and that its budget holds for SSIM, for features and for settings at large."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from robust_iqa_jax.attacks.perceptual import Perceptual, ssim_distance
from robust_iqa_jax.functional.feature_distance import feature_distance

RNG = np.random.default_rng(0)
MIX = RNG.normal(size=(12 * 13 * 3, 5)) / 10
IMAGES = RNG.uniform(0, 1, (3, 12, 13, 3)).astype(np.float32)


def score(x):
    return 20 * jnp.tanh(x.reshape(x.shape[0], -1) @ jnp.asarray(MIX, x.dtype)).sum(1)


def squared(x, y):
    return ((x - y) ** 2).sum((1, 2, 3))


def test_the_lagrangian_equals_torch():
    torch = pytest.importorskip("torch", reason="the independent gradient is torch's")
    x = torch.tensor(IMAGES, dtype=torch.float64)
    y = x.clone().requires_grad_()
    optimizer = torch.optim.Adam([y], lr=0.01)
    for _ in range(20):
        s = 20 * torch.tanh(y.reshape(3, -1) @ torch.tensor(MIX)).sum(1)
        optimizer.zero_grad()
        (0.7 * ((x - y) ** 2).sum() + s.sum() / 50).backward()
        optimizer.step()
        with torch.no_grad():
            y.clamp_(0, 1)
    attack = Perceptual(20, 0.01, budget=None, weight=0.7, distance=squared, direction="lower", score_range=50.0)
    with jax.enable_x64(True):
        ours = attack(score, jax.random.key(0), jnp.asarray(IMAGES, jnp.float64))
    np.testing.assert_allclose(ours, y.detach(), atol=1e-8)


@pytest.mark.parametrize("rate", [0.005, 0.2])
@pytest.mark.parametrize("budget", [0.01, 0.1])
def test_results_keep_the_budget_and_use_it(budget, rate):
    attacked = Perceptual(20, rate, budget=budget)(score, jax.random.key(0), IMAGES)
    distance = ssim_distance(jnp.asarray(IMAGES), attacked)
    assert (distance <= budget).all()
    assert (distance > 0.2 * budget).all()
    assert (score(attacked) - score(IMAGES) > 0.5).all()


def test_a_larger_budget_allows_more_and_no_budget_leaves_it():
    gains = [
        (score(Perceptual(20, budget=budget)(score, jax.random.key(0), IMAGES)) - score(IMAGES)).min()
        for budget in (0.003, 0.1)
    ]
    assert gains[1] > 1.5 * gains[0] > 0
    free = Perceptual(20, 0.02, budget=None, weight=1e-3)(score, jax.random.key(0), IMAGES)
    assert (ssim_distance(jnp.asarray(IMAGES), free) > 0.1).all()


def test_the_distance_in_the_loss_gains_more_within_the_same_budget():
    # What SSIM sees is the structure: a score of the mean alone can be raised nearly for free.
    mean = lambda x: 100 * x.mean((1, 2, 3)) + score(x)  # noqa: E731
    gains = [
        (mean(Perceptual(60, budget=0.02, weight=w)(mean, jax.random.key(0), IMAGES)) - mean(IMAGES)).mean()
        for w in (1e-6, 5.0)
    ]
    assert gains[1] > 1.05 * gains[0]


def test_a_distance_in_features_keeps_its_budget_and_its_weights_are_traced():
    traces = []

    def features(weights, x):
        traces.append(x.shape)
        return [jnp.tanh(x @ weights)]

    weights = jnp.asarray(RNG.normal(size=(3, 4)), jnp.float32)
    distances = [feature_distance(Partial(features, scale * weights)) for scale in (1.0, 2.0)]
    attacked, seen = [], []
    for distance in distances:
        attacked.append(Perceptual(5, 0.05, budget=0.02, distance=distance)(score, jax.random.key(0), IMAGES))
        seen.append(len(traces))
    assert seen[0] == seen[1] > 0
    for distance, found in zip(distances, attacked, strict=True):
        assert (distance(jnp.asarray(IMAGES), found) <= 0.02).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, "steps must be above 0"),
        ({"budget": 0}, "budget must be above 0"),
        ({"weight": -1}, "weight must be above 0"),
        ({"direction": "up"}, "unknown direction 'up'"),
    ],
)
def test_bad_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Perceptual(**arguments)


def test_images_too_small_for_ssim_are_refused():
    with pytest.raises(ValueError, match="each side needs 11 pixels or more"):
        Perceptual()(score, jax.random.key(0), np.zeros((1, 6, 5, 3), np.float32))
