"""TReS's losses and their gradients against a transcription in PyTorch, stopped gradients included."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_models import quick_jit

from robust_iqa_jax.losses.tres import relative_ranking, self_consistency, tres_loss


def ranking_by_hand(p, y):
    order = np.argsort(y, kind="stable")
    p, y = p[order], y[order]

    def distance(a, b):
        return abs(a - b + 1e-6)

    first = max(0.0, distance(p[0], p[1]) - distance(p[0], p[-1]) + y[-1] - y[1])
    return first + max(0.0, distance(p[-1], p[-2]) - distance(p[-1], p[0]) + y[-2] - y[0])


@pytest.mark.parametrize("n", [2, 3, 8])
def test_ranking_equals_the_formula(n):
    rng = np.random.default_rng(n)
    with jax.enable_x64(True):
        ranking = quick_jit(relative_ranking)
        for scale in (1.0, 30.0):  # hinges open, and some of them closed
            p, y = rng.normal(50, scale, n), rng.uniform(20, 80, n)
            value = ranking(p, y)
            assert float(value) == pytest.approx(ranking_by_hand(p, y), rel=1e-12)


def test_ranking_vanishes_for_scores_far_enough_apart_and_needs_two_images():
    y = jnp.asarray([30.0, 10.0, 80.0, 60.0])
    assert float(relative_ranking(y, y)) == pytest.approx(0, abs=1e-4)
    assert float(relative_ranking(0 * y, y)) == pytest.approx(80 - 30 + 60 - 10, rel=1e-5)
    with pytest.raises(ValueError, match="two images or more, got 1"):
        relative_ranking(y[:1], y[:1])


def test_the_total_and_all_gradients_equal_pytorch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra 'parity')")
    rng = np.random.default_rng(0)
    shapes = [(6,), (6,), *2 * [(6, 2, 2, 8), (6, 2, 2, 8), (6, 2, 2, 4), (6, 2, 2, 4)]]
    arrays = [rng.normal(50 if len(s) == 1 else 0, 5, s) for s in shapes]
    y = rng.uniform(40, 60, 6)

    def ours(p, q, *maps):
        return tres_loss(p, q, self_consistency(*maps[:4]), self_consistency(*maps[4:]), jnp.asarray(y))

    with jax.enable_x64(True):
        arguments = tuple(range(len(arrays)))
        value, gradients = quick_jit(jax.value_and_grad(ours, arguments))(*arrays)

    leaves = [torch.tensor(a, requires_grad=True) for a in arrays]
    labels, l1 = torch.tensor(y), torch.nn.functional.l1_loss
    order = torch.argsort(labels)
    low, second, third, high = (order[i] for i in (0, 1, -2, -1))

    def consistency(encoded, other, layer4, other4):
        return l1(encoded, other.detach()) + l1(layer4, other4.detach())

    def ranking(p):
        total = 0
        for a, b, c, margin in (
            (low, second, high, labels[high] - labels[second]),
            (high, third, low, labels[third] - labels[low]),
        ):
            loss = torch.nn.TripletMarginLoss(margin=float(margin), p=1)
            total = total + loss(*(p[i].reshape(1, 1) for i in (a, b, c)))
        return total

    p, q, *maps = leaves
    t, u = ranking(p), ranking(q)
    expected = l1(p, labels) + consistency(*maps[:4]) + l1(q, labels) + consistency(*maps[4:])
    expected = expected + 0.5 * (l1(t, u.detach()) + l1(u, t.detach())) + 0.05 * (t + u)
    expected.backward()
    assert float(value) == pytest.approx(float(expected.detach()), rel=1e-12)
    for leaf, gradient in zip(leaves, gradients, strict=True):
        other = np.zeros(leaf.shape) if leaf.grad is None else leaf.grad.numpy()
        np.testing.assert_allclose(gradient, other, rtol=1e-10, atol=1e-14)
    stopped = [i for i, leaf in enumerate(leaves) if leaf.grad is None]
    assert stopped == [3, 5, 7, 9]
