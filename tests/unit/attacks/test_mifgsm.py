"""MI-FGSM against a numpy transcription, with the paper's and with MSU's accumulation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_score import gradient, images, score

from robust_iqa_jax.attacks import ifgsm, mifgsm


def visited(x, eps, steps, momentum, normalise, size):
    """All perturbations of the loop in numpy, the clean image first."""
    p, g, found = np.zeros_like(x), np.zeros_like(x), [np.zeros_like(x)]
    for _ in range(steps):
        new = gradient(np.clip(x + p, 0, 1))
        g = momentum * g + (new / np.abs(new).sum((1, 2, 3), keepdims=True) if normalise else new)
        p = np.clip(p + size * np.sign(g), -eps, eps)
        found.append(p)
    return found


@pytest.mark.parametrize(("normalise", "momentum"), [(True, 1.0), (True, 0.6), (False, 1.0)])
def test_equals_the_formula_written_in_numpy(normalise, momentum):
    x, eps = images().astype(np.float64), 0.3  # large, for gradients whose length and sign change on the way
    with jax.enable_x64(True):
        attack = mifgsm(eps, 10, momentum=momentum, normalise=normalise)
        ours = attack(score, jax.random.key(0), jnp.asarray(x))
    p = visited(x, eps, 10, momentum, normalise, eps / 10)[-1]
    np.testing.assert_allclose(ours, np.clip(x + p, 0, 1), atol=1e-12)


def test_accumulations_differ_from_each_other_and_from_none():
    x = jnp.asarray(images())
    results = [
        attack(score, jax.random.key(0), x)
        for attack in (ifgsm(0.3), mifgsm(0.3), mifgsm(0.3, normalise=False), mifgsm(0.3, momentum=0.6))
    ]
    for i in range(4):
        for j in range(i):
            assert np.abs(np.asarray(results[i] - results[j])).max() > 1e-2


def test_keep_best_returns_the_strongest_of_all_iterates():
    x, eps, steps, size = images(16).astype(np.float64), 0.5, 7, 0.3
    with jax.enable_x64(True):
        ours = mifgsm(eps, steps, step_size=size, keep_best=True)(score, jax.random.key(0), jnp.asarray(x))
        candidates = [np.clip(x + p, 0, 1) for p in visited(x, eps, steps, 1.0, True, size)]
        values = np.stack([score(jnp.asarray(c)) for c in candidates])
    best = values.argmax(0)
    assert (best < steps).any()  # momentum overshoots on some image, or the test shows nothing
    np.testing.assert_allclose(ours, np.stack([candidates[k][i] for i, k in enumerate(best)]), atol=1e-12)


def test_images_without_a_gradient_stay_as_they_are():
    x = jnp.asarray(images())
    with pytest.warns(UserWarning, match="gradient is zero or not finite everywhere for 4 of 4 images"):
        np.testing.assert_array_equal(mifgsm()(lambda v: v.sum((1, 2, 3)) * 0, jax.random.key(0), x), x)


def test_names_and_bad_settings():
    assert mifgsm(normalise=False, keep_best=True, direction="lower").name == "mifgsm-10-raw-best-lower"
    with pytest.raises(ValueError, match="momentum must be above 0, got 0"):
        mifgsm(momentum=0)
