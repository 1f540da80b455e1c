"""stAdv against scipy and torch: sampling, flow terms, what Adam and L-BFGS reach; independence of images; settings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_score import MIX, WEIGHTS, images, score, value

from robust_iqa_jax.attacks.stadv import StAdv, bend, flow_term

BEND, TERM = jax.jit(bend), jax.jit(flow_term, static_argnums=1)
FLOW = np.random.default_rng(2).normal(0, 1.5, (6, 5, 2))


def test_bilinear_reading_equals_scipy():
    from scipy.ndimage import map_coordinates

    x = images(1).astype(np.float64)[0]
    rows, columns = np.indices((6, 5)) + np.moveaxis(FLOW, -1, 0)
    expected = [map_coordinates(x[..., c], [rows, columns], order=1, mode="nearest") for c in range(3)]
    with jax.enable_x64(True):
        np.testing.assert_allclose(BEND(x, FLOW), np.stack(expected, -1), atol=1e-12)


def test_no_flow_changes_nothing_and_whole_pixels_shift():
    x, none = images(1)[0], np.zeros((6, 5, 2), np.float32)
    np.testing.assert_array_equal(BEND(x, none), x)
    np.testing.assert_allclose(BEND(x, none + np.float32([0, 1]))[:, :-1], x[:, 1:], atol=1e-7)


@pytest.mark.parametrize("kind", ["original", "authors"])
def test_flow_terms_equal_loops_over_neighbours(kind):
    neighbours = [(0, 1), (0, -1), (1, 0), (-1, 0)] if kind == "original" else [(1, 1), (1, -1), (-1, 1), (-1, -1)]
    total = 0.0
    for i in range(6):
        for j in range(5):
            for a, b in neighbours:
                inside = 0 <= i + a < 6 and 0 <= j + b < 5
                squared = ((FLOW[i, j] - (FLOW[i + a, j + b] if inside else 0)) ** 2).sum() + 1e-8
                total += np.sqrt(squared) if kind == "original" else squared
    with jax.enable_x64(True):
        np.testing.assert_allclose(TERM(FLOW, kind), total, rtol=1e-12)


def torch_adam(x, steps, rate, kind, tau):
    """Adam on one image's flow, every formula written again in torch float64."""
    torch = pytest.importorskip("torch", reason="the independent gradient is torch's")
    x, flow = torch.tensor(x), torch.zeros(6, 5, 2, dtype=torch.float64, requires_grad=True)
    rows, columns = torch.meshgrid(torch.arange(6.0), torch.arange(5.0), indexing="ij")
    optimizer = torch.optim.Adam([flow], lr=rate)

    def read():
        # minimum and maximum halve the gradient of ties, as jnp.clip does; clamp would not
        r, c = (
            torch.minimum(torch.maximum(position, torch.tensor(0.0)), torch.tensor(side))
            for position, side in ((rows + flow[..., 0], 5.0), (columns + flow[..., 1], 4.0))
        )
        i, j = r.detach().floor().long().clamp(0, 4), c.detach().floor().long().clamp(0, 3)
        a, b = (r - i)[..., None], (c - j)[..., None]
        return (
            (1 - a) * (1 - b) * x[i, j]
            + (1 - a) * b * x[i, j + 1]
            + a * (1 - b) * x[i + 1, j]
            + a * b * x[i + 1, j + 1]
        )

    for _ in range(steps):
        flat = read().reshape(-1)
        s = torch.tanh(flat @ torch.tensor(MIX)).sum() + flat @ torch.tensor(WEIGHTS.ravel())
        padded = torch.nn.functional.pad(flow, (0, 0, 1, 1, 1, 1))
        if kind == "original":
            shifted = [padded[2:, 1:-1], padded[:-2, 1:-1], padded[1:-1, 2:], padded[1:-1, :-2]]
            smooth = sum((((flow - other) ** 2).sum(-1) + 1e-8).sqrt().sum() for other in shifted)
            loss = -50 * s / 10 + tau * smooth
        else:
            shifted = [padded[2:, 2:], padded[2:, :-2], padded[:-2, 2:], padded[:-2, :-2]]
            smooth = sum((((flow - other) ** 2).sum(-1) + 1e-8).sum() for other in shifted)
            loss = 50 * 15 / (s + 15) + tau * smooth
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return read().detach().numpy(), flow.detach().numpy()


@pytest.mark.parametrize(("kind", "tau"), [("original", 2.0), ("authors", None)])
def test_adams_path_equals_torch(kind, tau):
    x, used = images(2).astype(np.float64), tau or {"original": 1e-3, "authors": 1e-5}[kind]
    with jax.enable_x64(True):
        attack = StAdv(15, optimizer="adam", flow=kind, tau=tau, score_range=10.0)
        ours = attack(score, jax.random.key(0), jnp.asarray(x))
    for i in range(2):
        expected, flow = torch_adam(x[i], 15, 0.05, kind, used)
        assert np.abs(flow).max() > 0.2
        np.testing.assert_allclose(ours[i], expected, atol=1e-5)


def run(attack, x, scorer=score):
    """The attack alone, without its entry; it draws nothing from its keys."""
    return jax.jit(lambda x: attack.perturb(scorer, jax.random.split(jax.random.key(0), len(x)), x).images)(x)


@pytest.mark.slow
def test_lbfgs_reaches_what_scipy_finds_on_a_smooth_loss_for_each_image_of_a_batch():
    # Ramps under a linear score, and squared flow terms: the loss is quadratic while reading stays inside.
    from scipy.optimize import minimize

    ramp = np.linspace(0.2, 0.8, 5)[None, :, None] * np.ones((6, 1, 3))
    x, weights = np.stack([ramp, 0.5 * ramp]), np.abs(WEIGHTS).ravel()
    linear = lambda v: v.reshape(v.shape[0], -1) @ jnp.asarray(weights, v.dtype)  # noqa: E731
    with jax.enable_x64(True):
        bent = run(StAdv(40, flow="authors", tau=0.05), jnp.asarray(x), linear)

        @jax.jit
        @jax.value_and_grad
        def loss(flow, image):
            flow = flow.reshape(6, 5, 2)
            return 7500 / (linear(bend(image, flow)[None])[0] + 150) + 0.05 * flow_term(flow, "authors")

        for image, ours in zip(x, np.asarray(bent), strict=True):
            found = minimize(lambda f, at=image: tuple(map(np.asarray, loss(f, at))), np.zeros(60), jac=True)
            expected = np.asarray(BEND(image, found.x.reshape(6, 5, 2)))
            best = (expected - image).ravel() @ weights
            assert best > 0
            np.testing.assert_allclose((ours - image).ravel() @ weights, best, rtol=1e-3)


def test_invert_judges_each_image_by_its_batch():
    x = images(2)
    attack = StAdv(4, direction="invert", optimizer="adam", score_range=10.0)
    assert attack.couples
    before, after = value(x), value(run(attack, x))
    lower = int(before[0] > before[1])
    assert after[lower] > before[lower]
    assert after[1 - lower] < before[1 - lower]


def test_a_shared_flow_is_one_field_for_the_batch():
    x = images(1).repeat(2, 0) * np.float32([1, 0.5])[:, None, None, None]
    attack = StAdv(4, shared=True, optimizer="adam", score_range=10.0)
    assert attack.couples
    bent = np.asarray(run(attack, x))
    np.testing.assert_allclose(bent[1], 0.5 * bent[0], atol=1e-6)
    assert value(bent).mean() > value(x).mean()


def test_a_larger_tau_bends_less():
    x = images()
    change = [
        np.abs(StAdv(8, tau=tau, optimizer="adam", score_range=10.0)(score, jax.random.key(0), x) - x).mean()
        for tau in (0.05, 50.0)
    ]
    assert change[1] < 0.2 * change[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, "steps must be above 0"),
        ({"flow": "x"}, "unknown flow 'x'; choose one of original, authors"),
        ({"optimizer": "sgd"}, "unknown optimizer 'sgd'; choose one of lbfgs, adam"),
        ({"flow": "authors", "direction": "lower"}, "flow='authors' only raises scores; use flow='original'"),
    ],
)
def test_bad_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        StAdv(**arguments)


def test_images_of_one_pixel_are_refused():
    with pytest.raises(ValueError, match="2 x 2 pixels or more, got 1 x 5"):
        StAdv()(score, jax.random.key(0), jnp.zeros((1, 1, 5, 3)))
