"""Norm-in-norm loss against a float64 numpy transcription of its published formula, and its invariances."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_iqa_jax.training.losses import linearity_iqa_loss, norm_in_norm


def transcription(yhat, y, p, q, alpha):
    a, b = yhat - yhat.mean(), y - y.mean()
    a = a / (1e-8 + np.linalg.norm(a, ord=q))
    b = b / (1e-8 + np.linalg.norm(b, ord=q))
    scale = 2 ** max(1, 1 / q) * len(y) ** max(0, 1 / p - 1 / q)
    floor = 1e-8 if p < 1 else 0
    rho = a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
    terms = [((np.sum((np.abs(x - b) + floor) ** p)) ** (1 / p) / scale) ** p for x in (a, rho * a)]
    return (alpha[0] * terms[0] + alpha[1] * terms[1]) / sum(alpha)


@pytest.mark.parametrize("alpha", [(1, 0), (1, 0.1)])
@pytest.mark.parametrize(("p", "q"), [(1, 2), (2, 2), (1, 1), (0.5, 2), (2, 1)])
def test_equals_the_published_formula(p, q, alpha):
    rng = np.random.default_rng(0)
    yhat, y = rng.normal(size=8), rng.uniform(0, 100, 8)
    with jax.enable_x64(True):
        loss = norm_in_norm(jnp.asarray(yhat), jnp.asarray(y), p, q, alpha)
    assert float(loss) == pytest.approx(transcription(yhat, y, p, q, alpha), rel=1e-7)


def test_ignores_offset_and_scale_and_vanishes_for_linear_predictions():
    rng = np.random.default_rng(1)
    yhat, y = (jnp.asarray(rng.normal(size=16), jnp.float32) for _ in range(2))
    assert float(norm_in_norm(3 * yhat - 7, y)) == pytest.approx(float(norm_in_norm(yhat, 50 + 9 * y)), rel=1e-4)
    assert float(norm_in_norm(2 * y + 5, y)) < 1e-6
    assert float(norm_in_norm(-y, y)) > 0.5


def test_gradient_equals_central_differences():
    rng = np.random.default_rng(2)
    yhat, y, direction = (rng.normal(size=8) for _ in range(3))
    with jax.enable_x64(True):
        gradient = np.asarray(jax.grad(norm_in_norm)(jnp.asarray(yhat), jnp.asarray(y)))
    numeric = sum(s * transcription(yhat + s * 1e-6 * direction, y, 1, 2, (1, 0)) for s in (1, -1)) / 2e-6
    assert gradient @ direction == pytest.approx(numeric, rel=1e-5)


def test_gradient_is_finite_where_all_predictions_agree_and_one_photo_gives_no_loss():
    assert np.isfinite(jax.grad(norm_in_norm)(jnp.ones(4), jnp.arange(4.0))).all()
    assert float(norm_in_norm(jnp.ones(1), jnp.ones(1))) == 0


def test_total_weighs_the_three_outputs():
    rng = np.random.default_rng(3)
    outputs, y = rng.normal(size=(8, 3)), rng.normal(size=8)
    expected = sum(w * transcription(outputs[:, i], y, 1, 2, (1, 0)) for i, w in enumerate((0.1, 0.1, 1.0)))
    total = linearity_iqa_loss(jnp.asarray(outputs, jnp.float32), jnp.asarray(y, jnp.float32))
    assert float(total) == pytest.approx(expected, rel=1e-5)
