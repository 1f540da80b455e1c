"""The table of attacks: every line makes an attack, and what it does not know it refuses."""

import pytest

from robust_iqa_jax.attacks.core import Attack
from robust_iqa_jax.attacks.pgd import PGD
from robust_iqa_jax.attacks.registry import ATTACKS, make


@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_is_made_at_its_default_eps(name):
    entry, attack = ATTACKS[name], make(name)
    assert entry.fitted or isinstance(attack, Attack)
    assert attack.eps == entry.eps
    assert entry.description
    for setting, default in entry.settings.items():
        assert getattr(make(name, **{setting: default}), setting) == default


def test_settings_reach_the_attack():
    assert make("pgd", eps=0.1, direction="lower", steps=3) == PGD(0.1, 3, direction="lower")


def test_unknown_names_and_settings_are_refused_with_those_that_exist():
    with pytest.raises(ValueError, match=r"unknown attack 'laser'; there are .*pgd.*, square, "):
        make("laser")
    with pytest.raises(ValueError, match="pgd has no setting 'quality'; it has eps, steps, direction, norm"):
        make("pgd", quality=3)
    with pytest.raises(ValueError, match="quantise has no setting 'eps'; it has none"):
        make("quantise", eps=0.1)
