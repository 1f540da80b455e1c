"""Square Attack against a numpy transcription with the same draws, its schedule, its balls and its queries."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_score import WEIGHTS, images, linear, score, value

from robust_iqa_jax.attacks.square import SEARCHES, MultiSquare, Square, _bump, share_at

KEY = jax.random.key(4)
BUMP = jax.jit(_bump, static_argnums=3)


@pytest.mark.parametrize("direction", ["raise", "lower"])
def test_equals_the_algorithm_written_in_numpy_with_the_same_draws(direction):
    x, eps, queries, share = images(2).astype(np.float64), 8 / 255, 12, 0.3
    sign = 1 if direction == "raise" else -1
    keys = jax.random.split(KEY, 2)
    with jax.enable_x64(True):
        ours = Square(eps, queries, direction=direction, share=share)(score, keys, jnp.asarray(x))
        for image, key, found in zip(x, keys, np.asarray(ours), strict=True):
            stripes = np.asarray(jax.random.rademacher(jax.random.fold_in(key, 0), (1, 5, 3), jnp.float64))
            best = np.clip(image + eps * stripes, 0, 1)
            for i in range(1, queries):
                halvings = sum((i - 1) / queries * 10_000 > t for t in (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000))
                side = min(max(round((share / 2**halvings * 30) ** 0.5), 1), 4)
                where, colour = jax.random.split(jax.random.fold_in(key, i))
                r, c = np.asarray(jax.random.randint(where, (2,), 0, jnp.asarray([6, 5]) - side + 1))
                signs = np.asarray(jax.random.rademacher(colour, (3,), jnp.float64))
                window = image[r : r + side, c : c + side]
                candidate = best.copy()
                candidate[r : r + side, c : c + side] = np.clip(window + eps * signs, 0, 1)
                if (candidate == best).all():
                    candidate[r : r + side, c : c + side] = np.clip(window - eps * signs, 0, 1)
                if sign * value(candidate[None])[0] > sign * value(best[None])[0]:
                    best = candidate
            np.testing.assert_allclose(found, best, atol=1e-12)


def rings_by_loops(rows, columns):
    """The authors' description: growing rectangles around the middle, each adding 1 / k^2; length one."""
    bump = np.zeros((rows, columns))
    for k in range(1, max(rows, columns) // 2 + 2):
        for i in range(rows):
            for j in range(columns):
                if abs(i - rows // 2) < k and abs(j - columns // 2) < k:
                    bump[i, j] += 1 / k**2
    return bump / np.linalg.norm(bump)


@pytest.mark.parametrize("side", [3, 5, 9])
def test_the_bump_equals_loops_over_its_rings(side):
    grid = np.arange(12)
    with jax.enable_x64(True):
        ours = np.asarray(BUMP(grid[:, None] - 2, grid[None] - 1, jnp.asarray(side), 12))
    halves = np.concatenate([rings_by_loops(side // 2, side), -rings_by_loops(side - side // 2, side)])
    np.testing.assert_allclose(ours[2 : 2 + side, 1 : 1 + side], halves / np.linalg.norm(halves), atol=1e-6)
    assert np.abs(ours).sum() == pytest.approx(np.abs(ours[2 : 2 + side, 1 : 1 + side]).sum())


def test_an_l2_proposal_equals_algorithm_3_in_numpy():
    rng, eps, side = np.random.default_rng(0), 0.4, 3
    image = rng.uniform(0.3, 0.7, (12, 11, 3))
    delta = rng.normal(size=image.shape)
    delta *= 0.9 * eps / np.linalg.norm(delta)
    with jax.enable_x64(True):
        arrays = jnp.asarray(image), jnp.asarray(image + delta)
        ours = jax.jit(SEARCHES["l2"].propose)(KEY, *arrays, jnp.asarray(side), jnp.asarray(eps))
        here, there, colour, turn = jax.random.split(KEY, 4)
        signs = np.asarray(jax.random.rademacher(colour, (3,), jnp.float64))
        turned = bool(jax.random.bernoulli(turn))
        corners = [np.asarray(jax.random.randint(k, (2,), 0, jnp.asarray([12, 11]) - side + 1)) for k in (here, there)]
    one, two = (np.s_[r : r + side, c : c + side] for r, c in corners)
    halves = np.concatenate([rings_by_loops(1, 3), -rings_by_loops(2, 3)]) / np.sqrt(2)
    bump = (halves.T if turned else halves)[..., None] * signs
    old = delta[one] / np.linalg.norm(delta[one], axis=(0, 1))
    both = np.zeros(image.shape, bool)
    both[one] = both[two] = True
    freed = ((delta * both) ** 2).sum((0, 1))
    fresh = bump + old
    fresh *= np.sqrt(freed + (eps**2 - (delta**2).sum()) / 3) / np.linalg.norm(fresh, axis=(0, 1))
    moved = delta.copy()
    moved[two] = 0
    moved[one] = fresh
    np.testing.assert_allclose(ours, np.clip(image + eps * moved / np.linalg.norm(moved), 0, 1), atol=1e-6)


def test_the_share_halves_where_the_published_program_halves_it_at_any_length():
    halvings = {10: 0, 11: 1, 51: 2, 201: 3, 501: 4, 1001: 5, 2001: 6, 4001: 7, 6001: 8, 8001: 9, 9999: 9}
    for iteration, times in halvings.items():
        assert float(share_at(iteration, 10_000, 0.8)) == pytest.approx(0.8 / 2**times)
        assert float(share_at(iteration / 10, 1_000, 0.8)) == pytest.approx(0.8 / 2**times)


def test_more_queries_never_give_less_and_stay_in_the_ball():
    x, eps = images(), 8 / 255
    x[:, 0, 0], x[:, 0, 1] = 0, 1
    results = [np.asarray(Square(eps, queries)(score, KEY, x), np.float64) for queries in (1, 20, 200)]
    for result in results:
        change = np.abs(result - x).max((1, 2, 3))
        assert (change <= eps * (1 + 1e-6)).all()  # the bounds x - eps and x + eps round to float32
        assert (change >= 0.85 * eps).all()
        assert result.min() >= 0
        assert result.max() <= 1
    few, more, many = map(value, results)
    assert (more >= few - 1e-5).all()  # another length has another schedule, but the start is the same
    assert (many > more).mean() >= 0.5


def test_gets_most_of_the_optimum_of_a_linear_score_from_scores_alone():
    x = jnp.full((2, 6, 5, 3), 0.5)
    gain = linear(Square(8 / 255, 2000)(linear, KEY, x)) - linear(x)
    assert (np.asarray(gain) > 0.8 * 8 / 255 * np.abs(WEIGHTS).sum()).all()


def test_asks_an_opaque_scorer_exactly_as_often_as_it_says():
    asked = []

    def opaque(x):
        asked.append(len(x))
        return np.asarray(x).sum((1, 2, 3), np.float32)

    def scorer(x):
        return jax.pure_callback(opaque, jax.ShapeDtypeStruct(x.shape[:1], jnp.float32), x)

    x = images(3)
    Square(8 / 255, 25)(scorer, KEY, x).block_until_ready()
    assert sum(asked) == 25 * 3 + 2 * 3  # the first call looks whether a score depends on its batch
    asked.clear()
    found = Square(8 / 255, 25)(scorer, KEY, x).block_until_ready()
    assert sum(asked) == 25 * 3
    assert (np.asarray(found).sum((1, 2, 3)) > x.sum((1, 2, 3))).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"queries": 0}, "queries must be above 0"),
        ({"eps": -1}, "eps must be above 0"),
        ({"norm": "l1"}, "unknown norm 'l1'; choose one of linf, l2"),
        ({"direction": "up"}, "unknown direction 'up'"),
    ],
)
def test_bad_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Square(**arguments)


@pytest.mark.slow
def test_several_squares_a_proposal_are_painted_one_after_the_other():
    x, eps = images(1).astype(np.float64), 0.1
    keys = jax.random.split(KEY, 1)
    with jax.enable_x64(True):
        ours = MultiSquare(eps, 6, direction="raise", share=0.3)(score, keys, jnp.asarray(x))
        best = np.clip(x[0] + eps * np.asarray(jax.random.rademacher(jax.random.fold_in(keys[0], 0), (1, 5, 3))), 0, 1)
        for i in range(1, 6):
            share = share_at(i - 1, 6, 0.3)
            side = SEARCHES["linf"].side(share, 6, 5)
            drawn, candidate = jax.random.fold_in(keys[0], i), best
            for key in (drawn, jax.random.fold_in(drawn, 1)):
                candidate = SEARCHES["linf"].propose(key, jnp.asarray(x[0]), candidate, side, jnp.asarray(eps))
            best = candidate if value(candidate[None])[0] > value(np.asarray(best)[None])[0] else best
    np.testing.assert_allclose(ours[0], best, atol=1e-12)
    assert MultiSquare().direction == "opposite"
