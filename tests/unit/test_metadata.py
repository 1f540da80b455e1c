"""What the project says of itself agrees: version, licence and paper, in package, project file and citation."""

import importlib.metadata
import tomllib

import yaml
from places import ROOT

import robust_iqa_jax

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())


def test_there_is_one_version():
    assert PROJECT["version"] == robust_iqa_jax.__version__ == CITATION["version"]


def test_the_citation_has_what_its_format_requires_and_names_the_paper():
    assert {"cff-version", "message", "title", "authors"} <= CITATION.keys()
    assert CITATION["license"] == PROJECT["license"]
    (paper,) = CITATION["references"]
    assert paper["url"] == PROJECT["urls"]["Paper"] == "https://arxiv.org/abs/2506.04951"
    assert [author["family-names"] for author in paper["authors"]] == [
        "Meleshin", "Chistyakova", "Antsiferova", "Vatolin"
    ]  # fmt: skip


def test_types_are_shipped():
    assert (ROOT / "robust_iqa_jax/py.typed").is_file()
    assert "Typing :: Typed" in PROJECT["classifiers"]
    for classifier in PROJECT["classifiers"]:
        assert " :: " in classifier
    assert importlib.metadata.version("robust_iqa_jax") == PROJECT["version"]
