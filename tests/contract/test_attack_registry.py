"""The table of attacks: every line makes an attack, and what it does not know it refuses."""

import pytest

from robust_iqa_jax.attacks.core import Attack
from robust_iqa_jax.attacks.gradient import PGD
from robust_iqa_jax.attacks.objective import Opposite
from robust_iqa_jax.attacks.registry import ATTACKS, make
from robust_iqa_jax.wording import hyphenated


@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_is_made_at_its_default_eps(name):
    entry, attack = ATTACKS[name], make(name)
    assert entry.fitted or isinstance(attack, Attack)
    assert attack.eps == entry.eps
    assert entry.description
    for setting, default in entry.settings.items():
        assert getattr(make(name, **{setting: default}), setting) == default


@pytest.mark.parametrize("name", ATTACKS)
def test_the_name_of_an_attack_begins_with_its_name_in_the_table(name):
    attack = make(name)
    assert attack.kind == name
    assert (attack.label if ATTACKS[name].fitted else attack.name).startswith(name)


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("fgsm", {"norm": "l2", "direction": "lower"}, "fgsm-l2-lower"),
        ("i-fgsm", {"norm": "l2", "direction": "lower"}, "i-fgsm-10-l2-lower"),
        ("mi-fgsm", {"normalise": False, "keep_best": True, "direction": "lower"}, "mi-fgsm-10-raw-best-lower"),
        ("ami-fgsm", {"steps": 5, "norm": "l2"}, "ami-fgsm-5-l2"),
        ("pgd", {"restarts": 5, "keep_best": True, "norm": "l2"}, "pgd-8-l2-restarts5-best"),
        ("pgd", {"variant": "authors-linearity", "direction": Opposite(40.0)}, "pgd-8-authors-linearity-opposite"),
        ("apgd", {"norm": "l2", "restarts": 5, "direction": "lower"}, "apgd-100-l2-restarts5-lower"),
        ("suite", {"norm": "l2"}, "suite-20-l2"),
        ("carlini-wagner", {"gain": 2.5, "direction": "lower"}, "carlini-wagner-2.5-lower"),
        ("uap-cumulative", {"direction": "lower"}, "uap-cumulative-lower"),
        ("uap-generative", {}, "uap-generative"),
        ("facpa", {"direction": "lower"}, "facpa-lower"),
        ("stadv", {"flow": "authors", "shared": True, "optimizer": "adam"}, "stadv-10-authors-shared-adam"),
        ("korhonen", {"keep_best": True, "variant": "authors"}, "korhonen-50-best-authors"),
        ("perceptual", {}, "perceptual-30-budget0.05"),
        ("perceptual", {"budget": None, "direction": "change"}, "perceptual-30-change"),
        ("color-curves", {"eight_bit": True}, "color-curves-30-8bit"),
        ("square", {"norm": "l2"}, "square-1000-l2"),
        ("multi-square", {}, "multi-square-1000-2squares-opposite"),
        ("sparse-rs", {"direction": "lower"}, "sparse-rs-150px-1000-lower"),
        ("patch-rs", {"side": 9}, "patch-rs-9px-1000"),
        ("gamma-unsharp", {"direction": "lower"}, "gamma-unsharp-12-lower"),
        ("fmn", {"gain": 2.5}, "fmn-2.5-l2"),
        ("fmn", {"gain": 2.5, "norm": "linf"}, "fmn-2.5"),
        ("ioi", {}, "ioi"),
        ("nes", {"norm": "l2"}, "nes-20x50-l2"),
        ("gaussian-noise", {"norm": "l2"}, "gaussian-noise-l2"),
        ("uniform-noise", {"signs": True}, "uniform-noise-signs"),
        ("jpeg", {"subsampling": "4:4:4"}, "jpeg-75-444"),
    ],
)
def test_names_tell_variants_apart(name, settings, expected):
    attack = make(name, **settings)
    assert (attack.label if ATTACKS[name].fitted else attack.name) == expected


@pytest.mark.parametrize(("old", "new"), [("ifgsm", "i-fgsm"), ("mifgsm", "mi-fgsm"), ("amifgsm", "ami-fgsm")])
def test_older_spellings_are_read(old, new):
    assert make(old, steps=3) == make(new, steps=3)
    assert hyphenated(f"{old}-10-raw-lower") == f"{new}-10-raw-lower"
    assert hyphenated(new) == new


def test_settings_reach_the_attack():
    assert make("pgd", eps=0.1, direction="lower", steps=3) == PGD(0.1, 3, direction="lower")


def test_unknown_names_and_settings_are_refused_with_those_that_exist():
    with pytest.raises(ValueError, match=r"unknown attack 'laser'; there are .*pgd.*, square, "):
        make("laser")
    with pytest.raises(ValueError, match="pgd has no setting 'quality'; it has eps, steps, direction, norm"):
        make("pgd", quality=3)
    with pytest.raises(ValueError, match="quantise has no setting 'eps'; it has none"):
        make("quantise", eps=0.1)
