"""NES against a numpy transcription with the same draws, and its estimate against the gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_score import gradient, images, score

from robust_iqa_jax.attacks.nes import NES

KEY = jax.random.key(4)


@pytest.mark.parametrize("steps", [1, 3])
def test_equals_the_formula_written_in_numpy_with_the_same_draws(steps):
    x, eps, sigma, samples = images(2).astype(np.float64), 8 / 255, 1e-3, 6
    keys = jax.random.split(KEY, 2)
    with jax.enable_x64(True):
        ours = NES(eps, steps, direction="lower", samples=samples)(score, keys, jnp.asarray(x))
        value = lambda v: -float(score(jnp.asarray(v[None]))[0])  # noqa: E731
        for image, key, found in zip(x, keys, np.asarray(ours), strict=True):
            p, size = np.zeros_like(image), 1.25 * eps if steps == 1 else 2.5 * eps / steps
            for i in range(steps):
                step_key, at, estimate = jax.random.fold_in(key, i), np.clip(image + p, 0, 1), 0
                for pair in range(samples // 2):
                    u = np.asarray(jax.random.normal(jax.random.fold_in(step_key, pair), image.shape, jnp.float64))
                    estimate = estimate + u * (value(at + sigma * u) - value(at - sigma * u)) / (samples * sigma)
                p = np.clip(p + size * np.sign(estimate), -eps, eps)
            np.testing.assert_allclose(found, np.clip(image + p, 0, 1), atol=1e-12)


def test_the_estimate_approaches_the_gradient_as_samples_grow():
    x = jnp.asarray(images(2))
    step = NES(1e-3, 1, norm="l2", samples=4000)(score, KEY, x) - x  # along the estimate, for an l2 ball
    true = gradient(np.asarray(x, np.float64))
    for one, other in zip(np.asarray(step, np.float64), true, strict=True):
        cosine = (one * other).sum() / np.linalg.norm(one) / np.linalg.norm(other)
        # directions of m samples in d dimensions have cosine sqrt(m / (m + d)): 2000 pairs, 90 values
        assert cosine == pytest.approx((2000 / 2090) ** 0.5, abs=0.02)


def test_asking_in_batches_changes_nothing():
    attack, x = NES(8 / 255, 2, samples=12, direction="invert", norm="l2"), images()
    together = attack(score, KEY, x)
    np.testing.assert_allclose(attack.replace(batch=4)(score, KEY, x), together, atol=1e-5)
    assert np.abs(np.asarray(together) - x).max() > 1e-3


def test_an_opaque_scorer_is_attacked():
    opaque = lambda x: np.asarray(x).sum((1, 2, 3), np.float32)  # noqa: E731
    scorer = lambda x: jax.pure_callback(opaque, jax.ShapeDtypeStruct(x.shape[:1], jnp.float32), x)  # noqa: E731
    x = images()
    found = np.asarray(NES(8 / 255, 5)(scorer, KEY, x))
    assert (found.sum((1, 2, 3)) > x.sum((1, 2, 3))).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"samples": 7}, "samples 7 in batches of 7 must be even and divide"),
        ({"samples": 10, "batch": 4}, "samples 10 in batches of 4 must be even and divide"),
        ({"sigma": 0}, "sigma must be above 0"),
        ({"steps": 0}, "steps must be above 0"),
        ({"batch": 0}, "batch must be above 0"),
    ],
)
def test_bad_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        NES(**arguments)
