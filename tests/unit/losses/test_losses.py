"""Losses against float64 numpy transcriptions of their published formulas, their gradients against central
differences of those, and their invariances."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_models import quick_jit

from robust_iqa_jax.losses.earth_mover import earth_mover, squared_earth_mover
from robust_iqa_jax.losses.norm_in_norm import linearity, norm_in_norm
from robust_iqa_jax.losses.ranking import monotonicity, pairwise_ranking
from robust_iqa_jax.losses.regression import absolute_error, squared_error
from robust_iqa_jax.losses.total import LOSSES, linearity_iqa_loss, total_loss


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
        loss = quick_jit(lambda yhat, y: norm_in_norm(yhat, y, p, q, alpha))(yhat, y)
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
        gradient = np.asarray(quick_jit(jax.grad(norm_in_norm))(yhat, y))
    numeric = sum(s * transcription(yhat + s * 1e-6 * direction, y, 1, 2, (1, 0)) for s in (1, -1)) / 2e-6
    assert gradient @ direction == pytest.approx(numeric, rel=1e-5)


def test_gradient_is_finite_where_all_predictions_agree_and_one_photo_gives_no_loss():
    assert np.isfinite(quick_jit(jax.grad(norm_in_norm))(jnp.ones(4), jnp.arange(4.0))).all()
    assert float(norm_in_norm(jnp.ones(1), jnp.ones(1))) == 0


def test_total_weighs_the_three_outputs():
    rng = np.random.default_rng(3)
    outputs, y = rng.normal(size=(8, 3)), rng.normal(size=8)
    expected = sum(w * transcription(outputs[:, i], y, 1, 2, (1, 0)) for i, w in enumerate((0.1, 0.1, 1.0)))
    total = linearity_iqa_loss(jnp.asarray(outputs, jnp.float32), jnp.asarray(y, jnp.float32))
    assert float(total) == pytest.approx(expected, rel=1e-5)


def z_scores(yhat, y, alpha=(1, 0)):
    a, b = ((v - v.mean()) / (v.std() + 1e-8) for v in (yhat, y))
    rho = np.mean(a * b)
    return (alpha[0] * np.mean((a - b) ** 2) / 4 + alpha[1] * np.mean((rho * a - b) ** 2) / 4) / sum(alpha)


def ranking_by_hand(p, y, margin=1.0):
    pairs = [(i, j) for i in range(len(y)) for j in range(len(y)) if y[i] > y[j]]
    return sum(max(0.0, margin - (p[i] - p[j])) for i, j in pairs) / max(1, len(pairs))


def disorder_by_hand(p, y):
    n = len(y)
    terms = [max(0.0, (p[i] - p[j]) * np.sign(y[j] - y[i])) for i in range(n) for j in range(n)]
    return sum(terms) / (n * (n - 1)) / (1 + max(terms))


def transport_by_hand(p, t, power=2.0):
    """Work of carrying the surplus of each grade on to the next one."""
    rows = []
    for a, b in zip(p, t, strict=True):
        carried, work = 0.0, []
        for share, wanted in zip(a, b, strict=True):
            carried += share - wanted
            work.append(abs(carried) ** power)
        rows.append(work)
    return np.array(rows)


def nima(p, t, r=2.0):
    return np.mean(transport_by_hand(p, t, r).mean(1) ** (1 / r))


def squared_transport(p, t):
    return np.mean(transport_by_hand(p, t).sum(1))


SCORES = (
    (squared_error, lambda p, y: np.mean((p - y) ** 2)),
    (absolute_error, lambda p, y: np.abs(p - y).sum() / len(y)),
    (linearity, z_scores),
    (lambda p, y: linearity(p, y, (1, 0.1)), lambda p, y: z_scores(p, y, (1, 0.1))),
    (pairwise_ranking, ranking_by_hand),
    (lambda p, y: pairwise_ranking(p, y, 0.1), lambda p, y: ranking_by_hand(p, y, 0.1)),
    (monotonicity, disorder_by_hand),
)
DISTRIBUTIONS = (
    (earth_mover, nima),
    (lambda p, t: earth_mover(p, t, 1), lambda p, t: nima(p, t, 1)),
    (squared_earth_mover, squared_transport),
)


def scores(rng):
    y = rng.uniform(0, 5, 8)
    y[3] = y[5]  # equal labels have no order
    return rng.normal(2, 1, 8), y


def distributions(rng):
    return tuple(rng.dirichlet(np.ones(10), 6) for _ in range(2))


@pytest.mark.parametrize(
    ("ours", "by_hand", "draw"),
    [(*pair, scores) for pair in SCORES] + [(*pair, distributions) for pair in DISTRIBUTIONS],
)
def test_losses_and_their_gradients_equal_their_formulas(ours, by_hand, draw):
    rng = np.random.default_rng(4)
    predictions, targets = draw(rng)
    direction = rng.normal(size=predictions.shape)
    if draw is distributions:
        direction -= direction.mean(1, keepdims=True)  # shares go on adding up to one
    with jax.enable_x64(True):
        value, gradient = quick_jit(jax.value_and_grad(ours))(predictions, targets)
    assert float(value) == pytest.approx(by_hand(predictions, targets), rel=1e-7)
    assert float(value) > 1e-3
    numeric = sum(s * by_hand(predictions + s * 1e-6 * direction, targets) for s in (1, -1)) / 2e-6
    assert np.sum(np.asarray(gradient) * direction) == pytest.approx(numeric, rel=1e-5)


def test_linearity_is_one_minus_plcc_over_two():
    yhat, y = scores(np.random.default_rng(5))
    loss = linearity(jnp.asarray(yhat, jnp.float32), jnp.asarray(y, jnp.float32))
    assert float(loss) == pytest.approx((1 - np.corrcoef(yhat, y)[0, 1]) / 2, rel=1e-5)


def test_order_terms_vanish_for_ordered_predictions_and_where_nothing_has_an_order():
    y = jnp.asarray([1.0, 2.0, 4.0, 8.0])
    assert float(monotonicity(3 * y, y)) == 0
    assert float(monotonicity(-y, y)) > 0.3
    assert float(pairwise_ranking(3 * y, y)) == 0
    for loss in (monotonicity, pairwise_ranking):
        assert float(loss(y, jnp.ones(4))) == 0
        assert float(loss(jnp.ones(1), jnp.ones(1))) == 0


def test_earth_mover_counts_how_far_mass_moves_and_has_a_finite_gradient_at_its_minimum():
    near, far = (jnp.zeros((1, 10)).at[0, i].set(1.0) for i in (1, 9))
    start = jnp.zeros((1, 10)).at[0, 0].set(1.0)
    assert float(earth_mover(near, start, 1)) == pytest.approx(0.1)
    assert float(earth_mover(far, start, 1)) == pytest.approx(0.9)
    assert float(squared_earth_mover(far, start)) == pytest.approx(9)
    assert not np.asarray(quick_jit(jax.grad(earth_mover))(start, start)).any()


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_column_of_predictions_is_refused(name):
    with pytest.raises(ValueError, match=r"of one shape \(n,\) expected, got \(4, 1\) and \(4,\)"):
        LOSSES[name](jnp.ones((4, 1)), jnp.ones(4))


def test_distributions_of_two_lengths_are_refused():
    with pytest.raises(ValueError, match=r"of one shape \(n, grades\) expected, got \(4, 10\) and \(4, 5\)"):
        earth_mover(jnp.ones((4, 10)), jnp.ones((4, 5)))


def test_a_model_without_auxiliary_scores_has_the_loss_of_its_score():
    predictions, y = scores(np.random.default_rng(6))
    total = total_loss(absolute_error, jnp.asarray(predictions[:, None], jnp.float32), jnp.asarray(y, jnp.float32))
    assert float(total) == pytest.approx(np.abs(predictions - y).mean(), rel=1e-5)
