"""The models by name: the kept table is what they are, listing them imports no JAX, every one builds and scores."""

import importlib.metadata
import json
import os
import subprocess
import sys
import tomllib

import jax
import numpy as np
import pytest
from own_names import state_dict
from places import ROOT
from quick_models import quick_jit, random_variables

import robust_iqa_jax as riqa
from robust_iqa_jax.cli import main
from robust_iqa_jax.models.model_facts import description, facts
from robust_iqa_jax.models.model_table import TABLE, model_table
from robust_iqa_jax.models.presets import PRESETS, preset
from robust_iqa_jax.models.registry import build, shapes
from robust_iqa_jax.models.releases import convert, releases
from robust_iqa_jax.models.scorer import Calibration, Scorer
from robust_iqa_jax.models.shipped import SHIPPED

QUICK = ("linearity-vgg16-robust", "linearity-resnet18")
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in PRESETS if name not in QUICK]


def test_the_table_has_every_model_in_order():
    table = model_table()
    assert list(table) == list(PRESETS)
    for name, spec in PRESETS.items():
        described = description(spec)
        assert {field: table[name][field] for field in described} == described
        assert table[name]["parameters"] > 1e6
        assert table[name]["gflop"] > 0.5


@pytest.mark.parametrize("name", [*QUICK, *SLOW])
def test_the_table_says_what_the_model_is(name):
    kept, found = model_table()[name], facts(preset(name))
    # XLA counts a few operations more or less from version to version
    assert kept | {"gflop": pytest.approx(kept["gflop"], rel=2e-3)} == found


def test_koniq_pytorch_with_the_block_averages_what_the_block_leaves():
    assert preset("koncept512-pytorch").pool_window == 8
    # 10 x 14 pixels, pooled to 9 x 9, 7 x 7 behind a 3x3 convolution: the paper's code averages all
    assert preset("koncept512-pytorch-robust") == preset("koncept512-robust")


def own_state_dicts(spec):
    """A state dict for every release that names the whole model; the others are of backbones alone."""
    for release in releases(spec):
        try:
            tensors = state_dict(spec, release)
        except (ValueError, KeyError):
            continue  # a release without this model's block
        if not any("/" in name for name in tensors) or release.name == "flax":
            yield release, tensors


@pytest.mark.parametrize("name", [QUICK[1], pytest.param(QUICK[0], marks=pytest.mark.slow), *SLOW])
def test_every_model_converts_from_its_own_names(name):
    spec = preset(name)
    found = []
    for release, tensors in own_state_dicts(spec):
        variables, report, taken = convert(tensors, spec)
        assert (taken.name, report.problems()) == (release.name, "")
        jax.tree.map(lambda leaf, shape: np.testing.assert_equal(leaf.shape, shape.shape), variables, shapes_of(spec))
        found.append(release.name)
    assert found[-1] == "flax"


def shapes_of(spec):
    return {name: leaves for name, leaves in shapes(spec).items() if leaves}


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
def test_every_model_scores(name):
    spec = preset(name)
    drawn = random_variables(build(spec), (1, *spec.seen_size, 3))
    scorer = Scorer({"batch_stats": {}, **drawn}, Calibration.identity(), spec)
    images = np.random.default_rng(0).uniform(0, 1, (1, 60, 80, 3)).astype(np.float32)
    scores = quick_jit(lambda scorer, x: scorer(x))(scorer, images)
    assert scores.shape == (1,)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize(
    ("columns", "shown"), [(80, "size"), (129, "size"), (130, "score range"), (200, "score range")]
)
def test_the_list_fits_the_console_and_cuts_nothing(columns, shown, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    script = "from robust_iqa_jax.cli import main; import sys; s = main(['models']); assert 'jax' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=os.environ)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= columns
    assert "…" not in done.stdout
    assert [line.split()[0] for line in lines[1 : 1 + len(SHIPPED)]] == list(SHIPPED)
    listing = lines[next(i for i, line in enumerate(lines) if line.startswith("model ")) :]
    assert shown in listing[0]
    assert [line.split()[0] for line in listing[1:]] == list(PRESETS)


def test_chosen_models_are_listed_and_an_unknown_one_named(capsys):
    assert main(["models", "tres", "koncept512-pytorch-robust", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["model"] for row in rows] == ["tres", "koncept512-pytorch-robust"]
    assert rows[1] == {"model": "koncept512-pytorch-robust", **model_table()["koncept512-robust"]}
    assert main(["models", "koncept521"]) == 1
    assert capsys.readouterr().err.startswith("riqa models: unknown model 'koncept521'; did you mean koncept512? ")
    with pytest.raises(ValueError, match=r"unknown model 'tress'; did you mean tres\?"):
        preset("tress")


def test_the_table_is_installed_with_the_package():
    pyproject = ROOT / "pyproject.toml"
    data = tomllib.loads(pyproject.read_text())["tool"]["setuptools"]["package-data"]
    assert TABLE.name in data["robust_iqa_jax.models"]
    assert importlib.metadata.version("robust_iqa_jax") == riqa.__version__


def test_the_public_names_are_there_and_import_nothing_before():
    names = sorted(set(riqa.__all__))
    assert set(names) <= set(dir(riqa))
    assert [getattr(riqa, name) for name in names]
    with pytest.raises(AttributeError, match="no attribute 'scorer'"):
        _ = riqa.scorer  # pyright: ignore[reportAttributeAccessIssue]
    script = "import sys, robust_iqa_jax as r; assert 'jax' not in sys.modules; r.load; assert 'jax' in sys.modules"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


def test_a_checkout_imports_without_an_installation(tmp_path):
    """A notebook that is started in a checkout finds this folder before what was installed."""
    code = (
        "import sys; sys.meta_path[:] = [finder for finder in sys.meta_path if 'editable' not in str(finder)]\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "import robust_iqa_jax.kernels, robust_iqa_jax.benchmarks, robust_iqa_jax.configs as configs\n"
        "print(configs.__file__)"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == str(ROOT / "configs" / "__init__.py")
