"""Every public name of robust_iqa_jax.attacks makes its attack, and an import of its path gives the module there."""

import copy
import importlib
import inspect
import pickle
import warnings

import pytest

import robust_iqa_jax as riqa
from robust_iqa_jax import attacks
from robust_iqa_jax.attacks.core import Attack
from robust_iqa_jax.attacks.fitting import Fitting

CLASSES = {
    "amifgsm": "AMIFGSM", "apgd": "APGD", "carlini_wagner": "CarliniWagner", "color_curves": "ColorCurves",
    "eot": "EOT", "facpa": "FACPA", "fgsm": "FGSM", "fmn": "FMN", "gamma_unsharp": "GammaUnsharp", "ifgsm": "IFGSM",
    "ioi": "IOI", "jpeg": "JPEG", "korhonen": "Korhonen", "madc": "MADC", "mifgsm": "MIFGSM", "nes": "NES",
    "patch_rs": "PatchRS", "perceptual": "Perceptual", "pgd": "PGD", "quantise": "Quantise", "sparse_rs": "SparseRS",
    "square": "Square", "stadv": "StAdv", "suite": "AttackSuite", "uap": "UAP",
}  # fmt: skip
"""Public names that are paths of modules, with the class there."""
OTHERS = {"gaussian_noise", "generative_uap", "gradient_masking", "multi_square", "transfer", "uniform_noise"}


def test_all_public_names_are_here():
    assert set(attacks.__all__) == {*CLASSES, *OTHERS}


@pytest.mark.parametrize("name", CLASSES)
def test_a_path_gives_the_module_that_it_says_and_the_module_makes_the_attack(name):
    space = {}
    exec(f"import robust_iqa_jax.attacks.{name} as module\nfrom robust_iqa_jax.attacks import {name} as public", space)
    module, kind = space["module"], getattr(space["module"], CLASSES[name])
    assert inspect.ismodule(module)
    assert module is space["public"] is importlib.import_module(f"robust_iqa_jax.attacks.{name}")
    assert module.__name__ == module.__spec__.name == f"robust_iqa_jax.attacks.{name}"
    attack = getattr(riqa.attacks, name)()
    assert type(attack) is kind
    assert isinstance(attack, (Attack, Fitting))
    assert isinstance(attack, module)
    assert issubclass(kind, (module, str))
    assert not isinstance("pgd", module)
    assert inspect.signature(module) == inspect.signature(kind)
    assert pickle.loads(pickle.dumps(module)) is copy.deepcopy(module) is module
    assert isinstance(pickle.loads(pickle.dumps(attack)), kind)


def test_attacks_can_be_subclassed_by_their_public_name():
    class Quiet(attacks.pgd):
        def perturb(self, scorer, keys, images):
            return super().perturb(scorer, keys, images)

    assert issubclass(Quiet, importlib.import_module("robust_iqa_jax.attacks.pgd").PGD)
    assert Quiet(eps=0.1).name == "pgd-8"


def test_the_warning_of_a_large_eps_points_at_the_line_that_makes_the_attack():
    for make in (attacks.pgd, attacks.pgd.PGD, attacks.uniform_noise, attacks.uap):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            make(0.5)
        assert [warning.filename for warning in caught] == [__file__]


def test_the_checks_for_masked_gradients_have_their_public_names():
    from robust_iqa_jax.attacks.masking import dead_gradients, gradient_masking
    from robust_iqa_jax.evaluation import masking

    assert attacks.gradient_masking is gradient_masking is masking.gradient_masking
    assert dead_gradients is masking.dead_gradients
    with pytest.raises(AttributeError, match="laser"):
        _ = attacks.laser
