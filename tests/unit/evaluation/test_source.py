"""Results are named by the code that made them: the files of an attack and of a model, and what they import."""

import importlib
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from flat_mean import FlatMean

import robust_iqa_jax as riqa
from robust_iqa_jax.evaluation import source
from robust_iqa_jax.evaluation.results import digest

ATTACK = """
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from robust_iqa_jax.attacks.ascent import Result
from robust_iqa_jax.attacks.core import Attack
from robust_iqa_jax.attacks.settings import traced
from helper_of_it import sign

@traced("eps")
class Brighter(Attack):
    eps: Any = 0.1

    @property
    def name(self):
        return "brighter"

    def perturb(self, scorer, keys, images):
        return Result(jnp.clip(images + sign() * self.eps, 0, 1))
"""
IMAGES = np.random.default_rng(0).uniform(0.3, 0.7, (2, 4, 4, 3)).astype(np.float32)


@pytest.fixture
def attack_file(tmp_path, monkeypatch):
    """Writes the module of an attack and imports it as a new process would."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(attack, package="edited_attack"):
        folder = tmp_path / package
        folder.mkdir(exist_ok=True)
        (folder / "__init__.py").touch()
        (folder / "helper.py").write_text("def sign():\n    return 1\n")
        (folder / "attack.py").write_text(attack.replace("helper_of_it", f"{package}.helper"))
        return load(package)

    def load(package="edited_attack"):
        for name in [name for name in sys.modules if name.split(".")[0] == package]:
            del sys.modules[name]
        for cached in (source.code_digest, source.imports, source._file):
            cached.cache_clear()
        importlib.invalidate_caches()
        return importlib.import_module(f"{package}.attack").Brighter()

    write.folder, write.load = tmp_path / "edited_attack", load
    yield write
    for name in [name for name in sys.modules if name.split(".")[0] == "edited_attack"]:
        del sys.modules[name]


def test_an_edited_attack_is_run_again_and_an_unchanged_one_is_not(attack_file, tmp_path):
    stored = []

    def evaluate(attack):
        report = riqa.evaluate(FlatMean(jnp.float32(1)), IMAGES, [attack], results=tmp_path / "results")
        stored.append(len(list((tmp_path / "results").iterdir())))
        return report.rows[0]["abs_gain_raw"]

    assert evaluate(attack_file(ATTACK)) == pytest.approx(0.1, rel=1e-3)
    assert evaluate(attack_file(ATTACK)) == pytest.approx(0.1, rel=1e-3)
    edited = ATTACK.replace("images + sign() * self.eps", "images - sign() * self.eps")
    assert evaluate(attack_file(edited)) == pytest.approx(-0.1, rel=1e-3)
    assert stored == [2, 2, 3], "clean scores, and one part for each version of the attack"


def test_what_an_attack_imports_of_its_own_package_is_part_of_its_name(attack_file):
    before = digest(attack_file(ATTACK))
    assert digest(attack_file(ATTACK)) == before
    (attack_file.folder / "helper.py").write_text("def sign():\n    return -1\n")
    assert digest(attack_file.load()) != before
    (attack_file.folder / "helper.py").write_text("def sign():\n    return 1\n")
    (attack_file.folder / "stranger.py").write_text("nobody imports this\n")
    assert digest(attack_file.load()) == before


@pytest.mark.parametrize("line", ["from helper_of_it import sign", "from .helper import sign", "from . import helper"])
def test_relative_imports_and_modules_of_a_package_are_followed(attack_file, line):
    use = ATTACK.replace("from helper_of_it import sign", line).replace("sign() * self.eps", "self.eps")
    before = digest(attack_file(use))
    (attack_file.folder / "helper.py").write_text("def sign():\n    return -1\n")
    assert digest(attack_file.load()) != before


@pytest.mark.parametrize(
    ("module", "within", "without"),
    [
        ("attacks.pgd", ("attacks.core", "attacks.ball", "attacks.objective", "checks"), ("attacks.square", "models")),
        (
            "models.scorer",
            ("layers.cayley_conv", "functional.cayley", "kernels.cayley_solve.block_factor", "functional.resize"),
            ("attacks.pgd", "training.loop"),
        ),
    ],
)
def test_the_files_are_all_that_is_imported_at_any_depth(module, within, without):
    files = source.code_files(f"robust_iqa_jax.{module}")
    names = {name.removeprefix("robust_iqa_jax.") for name in files}
    assert {module, *within} <= names
    assert not {*without} & names
    assert all(path.suffix == ".py" for path in files.values())


def test_a_script_has_a_file_and_a_notebook_has_none(tmp_path, monkeypatch):
    (tmp_path / "script.py").write_text("import robust_iqa_jax.checks\n")
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(tmp_path / "script.py"), raising=False)
    source._file.cache_clear()
    assert set(source.code_files("__main__")) == {"__main__", "robust_iqa_jax.checks", "robust_iqa_jax.wording"}
    monkeypatch.delattr(sys.modules["__main__"], "__file__")
    source._file.cache_clear()
    with pytest.raises(ValueError, match="__main__: its code is in no file"):
        source.code_files("__main__")
    source._file.cache_clear()


def test_code_without_a_file_names_nothing():
    with pytest.raises(ValueError, match="no_such_module: its code is in no file"):
        source.code_digest("no_such_module")
