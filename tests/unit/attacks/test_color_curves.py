"""Colour curves against numpy interpolation and torch's Adam; the best is kept as it was scored; what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_score import MIX, WEIGHTS, images, score

from robust_iqa_jax.attacks.color_curves import ColorCurves, color_curves


def test_curves_equal_interpolation_between_knots():
    x, slopes = images().astype(np.float64), np.random.default_rng(0).uniform(0, 1, (4, 3, 64))
    slopes[:, :, ::3] = 0
    knots = np.concatenate([np.zeros((4, 3, 1)), np.cumsum(slopes, -1)], -1) / slopes.sum(-1, keepdims=True)
    expected = np.empty_like(x)
    for i in range(4):
        for c in range(3):
            expected[i, ..., c] = np.interp(x[i, ..., c], np.arange(65) / 64, knots[i, c])
    with jax.enable_x64(True):
        np.testing.assert_allclose(color_curves(jnp.asarray(x), jnp.asarray(slopes)), expected, atol=1e-12)


def test_equal_slopes_are_the_identity():
    x = images()
    np.testing.assert_allclose(color_curves(x, jnp.full((4, 3, 64), 7.0)), x, atol=1e-6)


def by_torch(x, steps, rate, weight, score_range):
    """The published loop for one image in float64; the last curve is scored too."""
    torch = pytest.importorskip("torch", reason="the independent gradient is torch's")
    x, p = torch.tensor(x), torch.full((3, 64), 1 / 64, dtype=torch.float64, requires_grad=True)
    optimizer, best, kept = torch.optim.Adam([p], lr=rate), -np.inf, None
    for _ in range(steps + 1):
        with torch.no_grad():
            p.clamp_(min=0)
        total = p.sum(1, keepdim=True)
        y = sum((x - i / 64).clamp(0, 1 / 64) * p[:, i] for i in range(64)) * 64 / total[:, 0]
        y = y + (y.clamp(0, 1) - y).detach()
        s = torch.tanh(y.reshape(-1) @ torch.tensor(MIX)).sum() + y.reshape(-1) @ torch.tensor(WEIGHTS.ravel())
        if s > best:
            best, kept = s.item(), y.detach().numpy()
        optimizer.zero_grad()
        (1 - s / score_range + weight * ((p / total - 1 / 64) ** 2).sum()).backward()
        optimizer.step()
    return kept


def test_equals_torch():
    x = images().astype(np.float64)
    with jax.enable_x64(True):
        ours = ColorCurves(12, 0.01, score_range=10.0)(score, jax.random.key(0), jnp.asarray(x))
    expected = np.stack([by_torch(v, 12, 0.01, 0.5, 10.0) for v in x])
    assert np.abs(expected - x).max() > 0.05
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_eight_bit_results_are_multiples_and_what_was_scored():
    x = jnp.round(jnp.asarray(images()) * 255) / 255
    attacked = ColorCurves(8, eight_bit=True, score_range=10.0)(score, jax.random.key(0), x)
    np.testing.assert_allclose(attacked * 255, np.round(attacked * 255), atol=1e-4)
    assert (score(attacked) > score(x)).all()


def test_no_curve_is_kept_that_is_weaker_than_the_clean_image():
    x = jnp.asarray(images())
    at_its_best = lambda v: -((v - x[: v.shape[0]]) ** 2).sum((1, 2, 3))  # noqa: E731
    with pytest.warns(UserWarning, match="gradient is zero or not finite everywhere for 4 of 4 images"):
        result = ColorCurves(3)(at_its_best, jax.random.key(0), x)
    np.testing.assert_allclose(result, x, atol=1e-6)


@pytest.mark.parametrize("name", ["steps", "learning_rate", "weight", "pieces", "score_range"])
def test_settings_that_are_not_positive_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be above 0, got 0"):
        ColorCurves(**{name: 0})
