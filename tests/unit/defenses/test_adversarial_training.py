"""Batches of adversarial training: the attack against numpy, its ball, the labels against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_score import gradient, images, score

from robust_iqa_jax.attacks.arguments import example_keys
from robust_iqa_jax.defenses.adversarial_training import (
    PRESETS,
    AdversarialConfig,
    adversarial_batch,
    attacked_images,
    corrected_labels,
)

pytestmark = pytest.mark.usefixtures("hardly_optimised")

KEY = jax.random.key(0)
EPS, STEP = 4 / 255, 5 / 255


def outputs(x):
    return score(x)[:, None]


def squared(outputs, mos):
    return jnp.mean((outputs[:, -1] - mos) ** 2)


def attack(config, x, mos):
    return np.asarray(attacked_images(config, outputs, squared, example_keys(KEY, len(x)), jnp.asarray(x), mos))


@pytest.mark.parametrize("aim", ["loss", "raise", "lower"])
def test_one_step_from_the_clean_image_is_a_signed_step_in_the_ball(aim):
    x = images()
    mos = np.asarray(score(jnp.asarray(x))) + np.float32([1, -1, 1, -1])  # errors of both signs
    sign = {"loss": np.float32([-1, 1, -1, 1])[:, None, None, None], "raise": 1, "lower": -1}[aim]
    expected = np.clip(x + EPS * sign * np.sign(gradient(x)), 0, 1)  # the step of 5/255 ends at the ball's face
    np.testing.assert_allclose(attack(AdversarialConfig(aim=aim), x, jnp.asarray(mos)), expected, atol=1e-6)


@pytest.mark.parametrize("start", ["clean", "uniform"])
@pytest.mark.parametrize("aim", ["loss", "raise", "change", "invert"])
def test_attacked_images_stay_in_their_ball_and_in_range(aim, start):
    x = np.round(images(6) * 1.6 - 0.3, 1).clip(0, 1).astype(np.float32)  # many pixels at 0 and 1
    config = AdversarialConfig(aim=aim, start=start, step_size=3 * EPS, steps=2)
    found = attack(config, x, jnp.zeros(6))
    assert found.min() >= 0
    assert found.max() <= 1
    assert np.abs(found - x).max() <= EPS * (1 + 1e-6) + 1e-7


def test_a_step_shorter_than_the_ball_leaves_random_starts_apart():
    x = np.full((2, 6, 5, 3), 0.5, np.float32)
    config = AdversarialConfig(start="uniform", aim="raise", step_size=EPS / 10)
    found = attack(config, x, jnp.zeros(2)) - x
    start = found - EPS / 10 * np.sign(gradient(x))  # the gradient's signs hold in so small a ball, but for a few
    assert np.abs(start).max() <= EPS * 1.11
    assert 0.4 * EPS < np.abs(start).mean() < 0.6 * EPS  # uniform: half of eps
    assert np.abs(found[0] - found[1]).max() > EPS / 2


def test_results_do_not_depend_on_how_a_batch_is_split():
    x, mos = jnp.asarray(images()), jnp.arange(4.0)
    config = AdversarialConfig(start="uniform", step_size=EPS / 2, label="none")
    keys = example_keys(KEY, 4)
    whole = attacked_images(config, outputs, squared, keys, x, mos)
    parts = [attacked_images(config, outputs, squared, keys[i], x[i], mos[i]) for i in (slice(2), slice(2, 4))]
    np.testing.assert_allclose(whole, np.concatenate(parts), atol=1e-7)


def constant(side, *values):
    return jnp.stack([jnp.full((side, side, 3), v, jnp.float32) for v in values])


def luminance(a, b):
    return (2 * a * b + 1e-4) / (a * a + b * b + 1e-4)


@pytest.mark.parametrize(
    ("label", "side", "exponent"), [("ssim", 16, 1), pytest.param("ms-ssim", 176, 0.1333, marks=pytest.mark.slow)]
)
def test_labels_fall_by_the_visible_damage(label, side, exponent):
    attacked, clean = (0.5, 0.55, 0.9, 0.5), (0.5, 0.5, 0.1, 0.05)
    mos = np.array([80.0, 50.0, 70.0, 12.0])
    config = AdversarialConfig(label=label, penalty=0.5, label_range=(10.0, 90.0))
    quality = np.array([luminance(a, b) for a, b in zip(attacked, clean, strict=True)]) ** exponent
    expected = np.clip(mos - 0.5 * (1 - quality) * 80, 10, 90)
    labels = corrected_labels(config, jnp.asarray(mos, jnp.float32), constant(side, *attacked), constant(side, *clean))
    np.testing.assert_allclose(labels, expected, rtol=1e-4)
    assert float(labels[0]) == pytest.approx(80)
    assert float(labels[1]) < 50


@pytest.mark.parametrize(
    ("label", "penalty", "expected"),
    [("share", 0.05, [76.0, 10.0]), ("min", 1.0, [10.0, 10.0]), ("none", 1.0, [80.0, 12.0])],
)
def test_other_label_strategies(label, penalty, expected):
    config = AdversarialConfig(label=label, penalty=penalty, label_range=(10.0, 90.0))
    labels = corrected_labels(config, jnp.asarray([80.0, 12.0]), constant(16, 0.5, 0.5), constant(16, 0.5, 0.5))
    np.testing.assert_allclose(labels, expected, rtol=1e-6)


@pytest.mark.parametrize("keep_clean", [True, False])
def test_the_batch_is_attacked_then_clean(keep_clean):
    x, mos = jnp.asarray(images()), jnp.asarray([20.0, 40.0, 60.0, 80.0])
    config = AdversarialConfig(aim="raise", label="share", penalty=0.1, label_range=(15.0, 95.0), keep_clean=keep_clean)
    batch, labels, lowered = adversarial_batch(config, outputs, squared, example_keys(KEY, 4), x, mos)
    attacked = [15.0, 32.0, 52.0, 72.0]
    np.testing.assert_array_equal(batch[4:], x[: 4 * keep_clean])
    assert (np.asarray(score(batch[:4])) > np.asarray(score(x))).all()
    np.testing.assert_allclose(labels, attacked + [20, 40, 60, 80] * keep_clean, rtol=1e-6)
    assert float(lowered) == pytest.approx((5 + 8 * 3) / 4, rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"eps": 0.0}, "eps must be above 0"),
        ({"steps": 0}, "steps must be above 0"),
        ({"aim": "sideways"}, "unknown aim 'sideways'; choose one of loss, raise"),
        ({"label": "lpips"}, "unknown label 'lpips'; choose one of ssim, ms-ssim"),
        ({"label_range": (5.0, 5.0)}, r"label_range must rise, got \(5.0, 5.0\)"),
    ],
)
def test_settings_that_make_no_sense_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        AdversarialConfig(**settings)


def test_a_label_penalty_needs_the_ends_of_the_scale():
    with pytest.raises(ValueError, match="label='ssim' needs label_range"):
        corrected_labels(AdversarialConfig(), jnp.ones(1), constant(16, 0.5), constant(16, 0.5))


def test_presets_are_of_the_published_method_and_of_the_authors_runs():
    assert PRESETS["linearity"].label_range == pytest.approx((3.91176, 88.38889), abs=1e-5)
    assert [PRESETS[name].eps * 255 for name in ("linearity", "koncept512", "tres")] == pytest.approx([4, 4, 2])
    assert [PRESETS[name].keep_clean for name in ("linearity", "linearity-authors", "koncept512")] == [
        True,
        True,
        False,
    ]
