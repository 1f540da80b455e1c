"""JAX's strict settings, for every attack: no key is used twice, and no rank is promoted."""

import jax
import numpy as np
import pytest
from attack_table import attacked, each, photos, score, smallest

from robust_iqa_jax import attacks, evaluate
from robust_iqa_jax.attacks.registry import ATTACKS

pytestmark = pytest.mark.usefixtures("hardly_optimised")

CASES = {name: smallest(name) for name in ATTACKS} | {
    f"{name} in l2": smallest(name, norm="l2", eps=0.5) for name in ("pgd", "apgd", "square", "nes", "gaussian-noise")
}
CASES |= {f"pgd {way}": smallest("pgd", direction=way) for way in ("opposite", "change", "invert")}
CASES |= {
    "pgd authors-linearity": attacks.pgd(steps=2, variant="authors-linearity"),
    "korhonen authors": smallest("korhonen", variant="authors"),
    "stadv authors": smallest("stadv", flow="authors", shared=True, optimizer="adam"),
}


def flat(x):
    """A score without broadcasting of its own."""
    return (x**2).sum((1, 2, 3))


@pytest.fixture(autouse=True)
def strict():
    with jax.debug_key_reuse(True), jax.numpy_rank_promotion("raise"):
        yield


@each(*CASES)
def test_every_attack_runs_twice_with_one_key(name):
    key = jax.random.key(0)
    results = [np.asarray(attacked(CASES[name], flat, photos(), key)) for _ in range(2)]
    np.testing.assert_array_equal(*results)
    assert np.abs(results[0] - photos()).max() > 0


def test_keys_of_images_are_the_callers_and_can_be_given_again():
    keys = jax.random.split(jax.random.key(0), 3)
    x, attack = photos(3), smallest("pgd")
    whole = attack(score, keys, x)
    chunked = attack(score, keys, x, chunk=2)
    np.testing.assert_allclose(whole, chunked, atol=1e-6)
    np.testing.assert_allclose(attack(score, keys[1:2], x[1:2])[0], whole[1], atol=1e-6)


def test_checks_for_masked_gradients_members_of_the_suite_and_evaluations():
    key, x = jax.random.key(9), photos()
    findings = attacks.gradient_masking(flat, key, x, steps=2, queries=3, baseline=flat)
    assert len(findings) == 6
    members = smallest("suite").each(flat, key, x)
    assert [member.name.split("-")[0] for member in members] == ["pgd", "apgd", "mifgsm", "square"]
    report = evaluate(flat, x, attacks=[smallest("pgd"), smallest("pgd", eps=0.05)], key=key, mos=[1.0, 2.0])
    assert len(report.rows) == 2
