"""Extras: the table of modules is that of pyproject.toml, and what is missing is said in one line."""

import re
import sys
import tomllib

import pytest
from places import ROOT

from robust_iqa_jax.cli import main
from robust_iqa_jax.extras import EXTRAS, MissingExtra, require

MODULES = {"scikit-image": "skimage", "scikit-learn": "sklearn", "orbax-checkpoint": "orbax"}
"""Distributions whose module has another name."""
WITHOUT_MODULES = {"all", "dev", "docs", "cuda", "tpu"}
"""Extras of other extras, of tools, and of accelerators, which jax looks for by itself."""


def test_the_table_is_that_of_the_project_file():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named: dict[str, set[str]] = {}
    for extra, requirements in project.items():
        for requirement in requirements if extra not in WITHOUT_MODULES else ():
            name = re.match(r"[\w.-]+", requirement)[0]
            named.setdefault(MODULES.get(name, name.replace("-", "_")), set()).add(extra)
    assert named.keys() == EXTRAS.keys()
    for module, extras in named.items():
        assert EXTRAS[module] in extras, module


def test_all_that_is_missing_is_said_at_once(monkeypatch):
    for module in ("grain", "skimage", "sklearn"):
        monkeypatch.setitem(sys.modules, module, None)
    require("a figure", "matplotlib")
    with pytest.raises(MissingExtra) as caught:
        require("riqa quickstart", "skimage", "matplotlib", "sklearn", "grain")
    assert str(caught.value) == (
        "riqa quickstart: the packages skimage, sklearn, grain are not installed; "
        "pip install 'robust_iqa_jax[photos,train]'"
    )


@pytest.mark.parametrize(
    ("hidden", "line", "what"),
    [
        ("matplotlib", "compare a b", "the figure"),
        ("matplotlib", "quickstart", "its models and pictures"),
        ("sklearn", "quickstart", "its models and pictures"),
        ("matplotlib", "evaluate", "figures of a report"),
        ("skimage", "report . --data distorted-photos", "the embedded photos"),
    ],
)
def test_a_command_whose_extra_is_absent_names_it_before_any_work(hidden, line, what, tmp_path, monkeypatch, capsys):
    from small_report import small_report

    from robust_iqa_jax.report.files import write_report

    write_report(tmp_path, small_report())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, hidden, None)
    command, *args = line.split()
    assert main([command, *args]) == 1
    said = f"the package {hidden} is not installed; pip install 'robust_iqa_jax[{EXTRAS[hidden]}]'"
    assert capsys.readouterr().err == f"riqa {command}: {what}: {said}\n"


def test_training_without_its_extra_names_it(monkeypatch):
    from robust_iqa_jax.training.config import TrainConfig
    from robust_iqa_jax.training.run import resolve

    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(MissingExtra, match=r"^training: the package tensorboardX .*\[train\]'$"):
        resolve(TrainConfig("unnamed"), [1.0, 2.0])
