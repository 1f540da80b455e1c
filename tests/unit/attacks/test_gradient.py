"""FGSM, I-FGSM, MI-FGSM, AMI-FGSM and PGD against one numpy loop; their keys, and how often they compile."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import spearmanr
from small_score import WEIGHTS, gradient, images, linear, score, value

from robust_iqa_jax.attacks import amifgsm, fgsm, ifgsm, mifgsm, pgd
from robust_iqa_jax.attacks.arguments import example_keys
from robust_iqa_jax.attacks.ball import BALLS

KEY = jax.random.key(3)


def length(p):
    return np.sqrt((p**2).sum((1, 2, 3), keepdims=True))


def visited(
    x, eps, size, steps, norm="linf", sign=1, momentum=0.0, over_l1=False, start=None, ball=True, in_range=False
):
    """All perturbations of the published loops, the start first."""
    p, g = np.zeros_like(x) if start is None else np.asarray(start), np.zeros_like(x)
    result = [p]
    for _ in range(steps):
        new = sign * gradient(np.clip(x + p, 0, 1))
        g = momentum * g + (new / np.abs(new).sum((1, 2, 3), keepdims=True) if over_l1 else new)
        p = p + size * (np.sign(g) if norm == "linf" else g / length(g))
        if ball:
            p = np.clip(p, -eps, eps) if norm == "linf" else p * np.minimum(1, eps / length(p))
        p = np.clip(x + p, 0, 1) - x if in_range else p
        result.append(p)
    return result


def attacked(attack, x, scorer=score, key=KEY):
    """In float64."""
    with jax.enable_x64(True):
        return np.asarray(attack(scorer, key, jnp.asarray(x, jnp.float64)))


EPS = 0.3  # large, for gradients whose length and sign change on the way
MSU = 10 / 255
CASES = {
    "fgsm": (fgsm(EPS), {"size": EPS, "steps": 1}),
    "fgsm, l2, lower": (
        fgsm(EPS, norm="l2", direction="lower"),
        {"size": EPS, "steps": 1, "norm": "l2", "sign": -1},
    ),
    "i-fgsm": (ifgsm(EPS), {"size": EPS / 10, "steps": 10}),
    "i-fgsm, MSU's": (ifgsm(MSU, 10), {"eps": MSU, "size": 1 / 255, "steps": 10}),
    "i-fgsm, a step": (ifgsm(EPS, 3, step_size=0.2), {"size": 0.2, "steps": 3}),
    "i-fgsm, l2": (ifgsm(EPS, 4, step_size=0.2, norm="l2"), {"size": 0.2, "steps": 4, "norm": "l2"}),
    "mi-fgsm": (mifgsm(EPS), {"size": EPS / 10, "steps": 10, "momentum": 1.0, "over_l1": True}),
    "mi-fgsm, momentum": (
        mifgsm(EPS, momentum=0.6),
        {"size": EPS / 10, "steps": 10, "momentum": 0.6, "over_l1": True},
    ),
    "mi-fgsm, MSU's": (mifgsm(EPS, normalise=False), {"size": EPS / 10, "steps": 10, "momentum": 1.0}),
    "ami-fgsm": (amifgsm(EPS, 4), {"size": EPS / 4, "steps": 4, "momentum": 1.0, "ball": False, "in_range": True}),
    "ami-fgsm, momentum": (
        amifgsm(EPS, 7, momentum=0.5),
        {"size": EPS / 7, "steps": 7, "momentum": 0.5, "ball": False, "in_range": True},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_equals_the_published_loop_in_numpy(case):
    attack, settings = CASES[case]
    x = images().astype(np.float64)
    expected = visited(x, **{"eps": EPS, **settings})[-1]
    # an l2 ball keeps 8 units in the last place for rounding
    np.testing.assert_allclose(attacked(attack, x), np.clip(x + expected, 0, 1), atol=1e-12)


@pytest.mark.parametrize("direction", ["raise", "lower"])
def test_pgd_equals_the_loop_from_its_own_draws(direction):
    x, eps = images().astype(np.float64), 6 / 255
    with jax.enable_x64(True):
        start = BALLS["linf"].draw(example_keys(KEY, 4), jnp.asarray(x), jnp.asarray(eps))
    for steps in (1, 2, 8):  # one program
        size = 1.25 * eps if steps == 1 else 2.5 * eps / steps
        p = visited(x, eps, size, steps, sign=1 if direction == "raise" else -1, start=start)[-1]
        np.testing.assert_allclose(attacked(pgd(eps, steps, direction=direction), x), np.clip(x + p, 0, 1), atol=1e-12)


def test_the_attack_of_the_authors_linearity_leaves_its_ball_by_one_step():
    x, eps = images().astype(np.float64), 4 / 255
    with jax.enable_x64(True):
        drawn = jax.vmap(lambda k: jax.random.uniform(k, x.shape[1:], jnp.float64))(example_keys(KEY, 4))
    for steps in (1, 3):
        p = np.asarray(drawn)
        for _ in range(steps):
            p = np.clip(p, -10 / 255, 10 / 255)
            p = p + eps * np.sign(gradient(np.clip(x + p, 0, 1)))
        ours = attacked(pgd(eps, steps, variant="authors-linearity"), x)
        np.testing.assert_allclose(ours, np.clip(x + p, 0, 1), atol=1e-12)


def test_one_step_towards_the_other_end_is_what_nt_calls_fgsm():
    x = images().astype(np.float64)
    clean = value(x)
    shifted = lambda v: score(v) + 50 - clean.mean()  # noqa: E731
    ours = attacked(ifgsm(0.03, 1, step_size=0.01, direction="opposite"), x, shifted)
    above = clean > clean.mean()
    assert 0 < above.sum() < 4  # both branches are taken
    way = np.where(above, -1, 1)[:, None, None, None]
    np.testing.assert_allclose(ours, np.clip(x + 0.01 * way * np.sign(gradient(x)), 0, 1), atol=1e-12)


def test_keep_best_returns_the_strongest_of_all_iterates():
    x, eps, steps, size = images(16).astype(np.float64), 0.5, 7, 0.3
    ours = attacked(mifgsm(eps, steps, step_size=size, keep_best=True), x)
    candidates = [np.clip(x + p, 0, 1) for p in visited(x, eps, size, steps, momentum=1.0, over_l1=True)]
    best = np.stack([value(candidate) for candidate in candidates]).argmax(0)
    assert (best < steps).any()  # momentum overshoots on some image, or the test shows nothing
    np.testing.assert_allclose(ours, np.stack([candidates[k][i] for i, k in enumerate(best)]), atol=1e-12)


@pytest.mark.parametrize("attack", [fgsm(0.3), fgsm(0.3, norm="l2"), pgd(0.3, 8)], ids=lambda a: a.name)
def test_the_optimum_of_a_linear_score_is_reached(attack):
    x = np.full((2, 6, 5, 3), 0.5)
    dual = np.abs(WEIGHTS).sum() if attack.norm == "linf" else np.linalg.norm(WEIGHTS)
    gain = (attacked(attack, x, linear) - x).reshape(2, -1) @ WEIGHTS.ravel()
    np.testing.assert_allclose(gain, 0.3 * dual, rtol=1e-5)


def test_change_leaves_the_clean_image_although_the_distance_is_least_there():
    x = images()
    moved = np.abs(value(fgsm(4 / 255, direction="change")(score, KEY, x)) - value(x))
    assert (moved > 0.1).all()


def test_change_goes_up_from_the_clean_image_however_its_score_was_rounded():
    noise = itertools.chain([3e-6], itertools.repeat(0.0))  # on the clean score, traced first
    rounded = lambda v: score(v) + next(noise)  # noqa: E731
    changed = fgsm(direction="change")(rounded, KEY, images())
    np.testing.assert_array_equal(changed, fgsm(direction="raise")(score, KEY, images()))


def test_an_image_alone_gives_the_same_as_in_a_batch_and_other_keys_give_others():
    x, keys = images(), jax.random.split(jax.random.key(5), 4)
    together = attacked(pgd(4 / 255, 2), x, key=keys)
    np.testing.assert_allclose(attacked(pgd(4 / 255, 2), x[2:3], key=keys[2:3])[0], together[2], atol=1e-9)
    assert np.abs(together - attacked(pgd(4 / 255, 2), x, key=KEY)).max() > 1e-3


def test_a_sweep_over_sizes_and_steps_compiles_once():
    traces = []

    def counted(x):
        traces.append(x.shape)
        return score(x)

    x = jnp.asarray(images())
    pgd(1 / 255, 1)(counted, KEY, x)
    first = len(traces)
    for eps in (2, 10):
        for steps in (1, 8):
            pgd(eps / 255, steps)(counted, KEY, x)
    assert len(traces) == first > 0


def test_other_weights_of_a_scorer_pytree_compile_nothing_new():
    traces = []

    @jax.tree_util.register_pytree_node_class
    class Linear:
        def __init__(self, weights):
            self.weights = weights

        def __call__(self, x):
            traces.append(x.shape)
            return x.reshape(x.shape[0], -1) @ self.weights

        def tree_flatten(self):
            return (self.weights,), None

        @classmethod
        def tree_unflatten(cls, _, children):
            return cls(*children)

    x = jnp.asarray(images())
    one = pgd(4 / 255, 1)(Linear(jnp.asarray(WEIGHTS.ravel(), jnp.float32)), KEY, x)
    first = len(traces)
    other = pgd(4 / 255, 1)(Linear(-jnp.asarray(WEIGHTS.ravel(), jnp.float32)), KEY, x)
    assert len(traces) == first
    assert np.abs(np.asarray(one - other)).max() > 1e-3


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros((4, 6, 5)), "shape \\(n, height, width, channels\\) expected"),
        (np.zeros((1, 6, 5, 3), np.uint8), "divide 8-bit images by 255"),
        (np.full((1, 6, 5, 3), np.nan, np.float32), "hold NaN"),
        (np.full((1, 6, 5, 3), 1.5, np.float32), "pixels in \\[0, 1\\] expected, got 1.5 to 1.5"),
        ([np.zeros((6, 5, 3)), np.zeros((5, 5, 3))], "images of one size expected"),
    ],
)
def test_bad_images_are_refused_with_what_was_expected(bad, message):
    with pytest.raises(ValueError, match=message):
        pgd(4 / 255, 1)(score, KEY, bad)


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (fgsm, {"eps": 0}, "eps must be above 0 and finite, got 0"),
        (fgsm, {"norm": "l1"}, "unknown norm 'l1'; choose one of linf, l2"),
        (ifgsm, {"step_size": -1}, "step_size must be above 0, got -1"),
        (mifgsm, {"momentum": 0}, "momentum must be above 0, got 0"),
        (amifgsm, {"eps": -1}, "eps must be above 0"),
        (pgd, {"steps": 0}, "steps must be above 0"),
        (pgd, {"steps": 8.0}, "steps must be a whole number, got 8.0"),
        (
            pgd,
            {"direction": "up"},
            "unknown direction 'up'; choose one of raise, lower, opposite, change, invert, reverse",
        ),
        (pgd, {"direction": None}, "unknown direction None"),
        (pgd, {"variant": "x"}, "unknown variant 'x'; choose one of a-kon, authors-linearity"),
        (
            pgd,
            {"variant": "authors-linearity", "keep_best": True},
            "variant authors-linearity is linf, without restarts, and keeps the last iterate",
        ),
    ],
)
def test_bad_settings_are_refused(make, arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**arguments)


def test_reverse_aims_at_the_clean_scores_in_reverse_order():
    x = 0.2 + 0.6 * images(5)
    clean = value(x)
    moved = value(attacked(ifgsm(0.5, 600, step_size=0.001, direction="reverse"), x))
    assert spearmanr(clean, moved)[0] == pytest.approx(-1)
    np.testing.assert_allclose(np.sort(moved), np.sort(clean), atol=0.1)
    orders = [((clean - clean[list(order)]) ** 2).sum() for order in itertools.permutations(range(5))]
    assert ((clean - moved) ** 2).sum() == pytest.approx(max(orders), rel=0.05)
