"""Purified scorers: the scorer of the purified photos, one score a photo, averages over draws, defences by name."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_models import quick_jit

from robust_iqa_jax import attacks
from robust_iqa_jax.attacks.eot import content_keys
from robust_iqa_jax.defenses.purification import DEFENSES, Defense, parse_defense
from robust_iqa_jax.defenses.purifiers import Jpeg
from robust_iqa_jax.defenses.random_purifiers import Crop, Noise

IMAGES = jnp.asarray(np.random.default_rng(0).uniform(0, 1, (4, 16, 24, 3)), jnp.float32)
WEIGHTS = jnp.asarray(np.random.default_rng(1).normal(size=(16, 24, 3)), jnp.float32)


def score(x):
    return jnp.tanh((x * WEIGHTS).sum((1, 2, 3)) / 20)


@pytest.mark.parametrize("name", DEFENSES)
def test_every_defence_wraps_any_scorer_and_a_photo_has_one_score(name):
    defended = parse_defense(name).on(score)
    together = defended(IMAGES)
    np.testing.assert_allclose(defended(IMAGES[::-1])[::-1], together, atol=1e-5)
    if parse_defense(name).random:
        np.testing.assert_allclose(defended(IMAGES[2:3]), together[2:3], atol=1e-5)


def test_a_defended_score_is_the_score_of_the_purified_photo():
    wanted = quick_jit(lambda x: score(Jpeg(30)(None, x)))(IMAGES)
    np.testing.assert_allclose(parse_defense("jpeg:30").on(score)(IMAGES), wanted, rtol=1e-5)
    keys = jax.vmap(lambda key: jax.random.fold_in(key, 0))(content_keys(jax.random.key(5), IMAGES))
    wanted = quick_jit(lambda keys, x: score(Crop(0.7)(keys, x)))(keys, IMAGES)
    np.testing.assert_allclose(parse_defense("crop:0.7").on(score, seed=5)(IMAGES), wanted, rtol=1e-5)


@pytest.mark.parametrize(("name", "average"), [("noise:0.1:9", np.mean), ("smooth:0.1:9", np.median)])
def test_draws_are_averaged(name, average):
    keys = content_keys(jax.random.key(0), IMAGES)
    fold = jax.vmap(jax.random.fold_in, (0, None))
    draws = [score(Noise(0.1)(fold(keys, i), IMAGES)) for i in range(9)]
    np.testing.assert_allclose(parse_defense(name).on(score)(IMAGES), average(draws, 0), rtol=1e-5)


def test_an_attack_sees_through_a_defence_that_rounds():
    """The derivative of rounding is zero, and an attack by it would stay at the clean photo."""
    defended = parse_defense("bits:3").on(score)
    adversarial = attacks.pgd(8 / 255, 5)(defended, 0, IMAGES)
    assert float((defended(adversarial) - defended(IMAGES)).min()) > 0


def test_names_tell_defences_apart():
    names = [parse_defense(text).name for text in ("jpeg:75", "crop:0.9", "crop:0.9:8", "smooth:0.1", "noise:0.1:64")]
    assert names == ["jpeg-75", "crop-0.9", "crop-0.9-x8", "smooth-0.1-x64", "noise-0.1-x64"]
    assert len({parse_defense(name).name for name in DEFENSES}) == len(DEFENSES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("jpg:75", "unknown defense 'jpg'; did you mean jpeg"),
        ("jpeg:", "'jpeg:': give name, name:parameter or name:parameter:draws"),
        ("jpeg:75:2:3", "give name, name:parameter or name:parameter:draws"),
        ("jpeg:much", "'jpeg:much': the parameter is a number, the draws a whole one"),
        ("crop:0.9:2.5", "'crop:0.9:2.5': the parameter is a number"),
        ("jpeg:75:4", "jpeg-75 draws nothing; drop the 4 draws"),
        ("crop:0.9:0", "crop-0.9: one draw or more expected, got 0"),
        ("jpeg:200", "jpeg: quality from 1 to 100 expected, got 200"),
    ],
)
def test_defences_of_no_use_are_refused(text, message):
    with pytest.raises(ValueError, match=f"^defense: .*{message}"):
        parse_defense(text)


def test_pixels_outside_the_range_are_refused():
    with pytest.raises(ValueError, match="scorer: pixels in"):
        Defense(Jpeg()).on(score)(IMAGES * 2)
