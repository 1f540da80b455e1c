"""Gradient-norm regularisation against a float64 numpy transcription on a small network, and what it promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_iqa_jax.defenses.gradient_norm import GradientNormConfig, gradient_norm_penalty, gradient_norms

RNG = np.random.default_rng(0)
PARAMS = {"mix": RNG.normal(size=(24, 7)) / 5, "bias": RNG.normal(size=7), "out": RNG.normal(size=7)}
IMAGES = RNG.uniform(size=(5, 2, 4, 3))


def score(params, x):
    return jnp.tanh(x.reshape(len(x), -1) @ params["mix"] + params["bias"]) @ params["out"]


def by_hand(params, x, h, v=None):
    """(n,) differences and the signs that they are taken along."""

    def value(x):
        return np.tanh(x.reshape(len(x), -1) @ params["mix"] + params["bias"]) @ params["out"]

    hidden = np.tanh(x.reshape(len(x), -1) @ params["mix"] + params["bias"])
    gradient = (((1 - hidden**2) * params["out"]) @ params["mix"].T).reshape(x.shape)
    v = np.sign(gradient) if v is None else v
    return (value(x + h * v) - value(x)) / h, v, np.abs(gradient).sum((1, 2, 3))


def test_differences_equal_the_formula_and_approach_the_l1_norm():
    with jax.enable_x64(True):
        for h, tolerance in ((0.05, 0.2), (1e-5, 1e-4)):
            norms = np.asarray(gradient_norms(score, jax.tree.map(jnp.asarray, PARAMS), jnp.asarray(IMAGES), h))
            expected, _, l1 = by_hand(PARAMS, IMAGES, h)
            np.testing.assert_allclose(norms, expected, rtol=1e-8)
            np.testing.assert_allclose(norms, l1, rtol=tolerance)


@pytest.mark.parametrize("h", [1e-3, 10.0])
def test_a_linear_score_has_its_exact_l1_norm_at_any_step(h):
    with jax.enable_x64(True):
        weights = jnp.asarray(RNG.normal(size=24))
        norms = gradient_norms(lambda w, x: x.reshape(len(x), -1) @ w + 3, weights, jnp.asarray(IMAGES), h)
    np.testing.assert_allclose(norms, np.full(5, np.abs(weights).sum()), rtol=1e-9)


def test_parameter_gradients_are_those_of_the_formula_with_its_direction_held():
    h, step = 0.01, 1e-6
    _, v, _ = by_hand(PARAMS, IMAGES, h)
    with jax.enable_x64(True):
        params = jax.tree.map(jnp.asarray, PARAMS)
        gradient = jax.grad(lambda p: gradient_norm_penalty(gradient_norms(score, p, jnp.asarray(IMAGES), h)))(params)
    rng = np.random.default_rng(1)
    for name, leaf in PARAMS.items():
        direction = rng.normal(size=leaf.shape)
        moved = [{**PARAMS, name: leaf + s * step * direction} for s in (1, -1)]
        up, down = (0.5 * np.mean(by_hand(p, IMAGES, h, v)[0] ** 2) for p in moved)
        assert np.sum(np.asarray(gradient[name]) * direction) == pytest.approx((up - down) / (2 * step), rel=1e-5)


def test_relative_norms_ignore_the_scale_of_the_scores_and_plain_ones_do_not():
    with jax.enable_x64(True):
        params, images = jax.tree.map(jnp.asarray, PARAMS), jnp.asarray(IMAGES)

        def penalty(factor, relative):
            return gradient_norm_penalty(
                gradient_norms(lambda p, x: factor * score(p, x), params, images, 0.01, relative)
            )

        value, slope = jax.value_and_grad(penalty)(3.0, True)
        plain_slope = jax.grad(penalty)(3.0, False)
        norms, scores = np.asarray(gradient_norms(score, params, images, 0.01)), np.asarray(score(params, images))
    assert float(value) == pytest.approx(0.5 * np.mean(norms**2) / scores.var(), rel=1e-9)
    assert abs(float(slope)) < 1e-12 * float(value)
    assert float(plain_slope) == pytest.approx(3.0 * np.mean(norms**2), rel=1e-9)


def test_steps_and_weights_convert_between_the_spaces_as_documented():
    std, h = 0.225, 0.01
    with jax.enable_x64(True):
        params, pixels = jax.tree.map(jnp.asarray, PARAMS), jnp.asarray(IMAGES)
        normalise = lambda x: (x - 0.4) / std  # noqa: E731
        in_values = gradient_norms(score, params, normalise(pixels), h)
        in_pixels = gradient_norms(lambda p, x: score(p, normalise(x)), params, pixels, h * std)
    np.testing.assert_allclose(in_pixels, np.asarray(in_values) / std, rtol=1e-8)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"h": 0.0}, "gradient_norm: h must be above 0, got 0.0"),
        ({"weight": -1.0}, "weight must be above 0"),
        ({"space": "grey"}, "unknown space 'grey'; choose one of pixels, normalised"),
        ({"statistics": "all"}, "unknown statistics 'all'; choose one of running, batch"),
    ],
)
def test_settings_that_make_no_sense_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        GradientNormConfig(**settings)


def test_relative_norms_need_two_images():
    with pytest.raises(ValueError, match="batches of two images or more; enlarge batch_size"):
        gradient_norms(score, PARAMS, jnp.asarray(IMAGES[:1]), 0.01, relative=True)
