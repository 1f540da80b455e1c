"""`riqa export`: JAX alone gives the scorer's scores, and the folder is one that a hub serves and `riqa.load` reads."""

import json
import re
import subprocess
import sys
import types

import jax
import numpy as np
import pytest
import tiny_backbone
from places import ROOT
from tiny_checkpoint import write_checkpoint

import robust_iqa_jax as riqa
from robust_iqa_jax.cli import main
from robust_iqa_jax.models.checkpoint import CheckpointError
from robust_iqa_jax.models.export import exported_program
from robust_iqa_jax.models.spec import BlockSpec

CODE = next(
    code for code in re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S) if "deserialize" in code
)
"""README's."""

ALONE = """
import os, sys

class Hides:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("flax", "robust_iqa_jax", "safetensors", "orbax", "optax"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Hides())
import numpy as np

photos, found = np.load("images.npy"), {}
for model, count in (("plain", 1), ("plain", 3), ("block", 3), ("block", 1)):
    os.makedirs("runs", exist_ok=True)
    os.path.lexists("runs/exported") and os.unlink("runs/exported")
    os.symlink(os.path.abspath(f"{model}/exported"), "runs/exported")
    images = photos[:count]
    here = {"images": images}
    exec(open("readme.py").read(), here)
    found[f"{model} {count}"] = np.asarray(here["scores"])
np.savez("found.npz", **found)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory, hardly_optimised):
    folder = tmp_path_factory.mktemp("export")
    with tiny_backbone.registered():
        write_checkpoint(folder / "plain")
        write_checkpoint(folder / "block", block=BlockSpec(at="first", mid_channels=4))
        for name in ("plain", "block"):
            assert main(["export", str(folder / name), str(folder / name / "exported")]) == 0
        yield folder


def test_jax_alone_gives_the_same_scores_for_any_number_of_photos(folder):
    noise = np.random.default_rng(0).uniform(0, 1, (3, 45, 38, 3))
    images = np.float32(noise * [[[[0.1]]], [[[0.5]]], [[[1.0]]]])
    np.save(folder / "images.npy", images)
    (folder / "readme.py").write_text(CODE)
    subprocess.run([sys.executable, "-c", ALONE], cwd=folder, check=True)
    with np.load(folder / "found.npz") as found:
        for name in ("plain", "block"):
            wanted = np.asarray(riqa.load(folder / name)(images))
            for count in (1, 3):
                np.testing.assert_allclose(found[f"{name} {count}"], wanted[:count], rtol=1e-5)
            assert np.ptp(wanted) > 1e-3 * abs(wanted).max(), "photos that cannot be told apart would test nothing"


def test_what_is_exported_is_prepared_and_names_no_file_of_this_machine(folder):
    scorer = riqa.load(folder / "block")
    program = exported_program(scorer, ("cpu",))
    assert program == exported_program(scorer.prepare(), ("cpu",))
    assert b".py" not in program
    assert str(ROOT).encode() not in program
    assert jax.export.deserialize(bytearray(program)).platforms == ("cpu",)


@pytest.mark.parametrize(
    ("platforms", "told"), [(("gpu",), "unknown platform 'gpu'"), ((), "no platform to export for")]
)
def test_platforms_that_do_not_exist_are_refused(platforms, told, folder):
    with pytest.raises(ValueError, match=told):
        exported_program(riqa.load(folder / "plain"), platforms)


def test_the_folder_is_as_hubs_serve_it(folder):
    exported = folder / "block/exported"
    names = {file.name for file in exported.iterdir() if not file.name.startswith(".")}
    assert names == {"README.md", "config.json", "model.json", "model.safetensors", "scorer.jax_export"}
    config = json.loads((exported / "config.json").read_text())
    assert config["input"]["shape"] == ["n", 32, 32, 3]
    assert config["output"] == {"shape": ["n"], "dtype": "float32", "label": "mos", "training_range": [0.0, 1.0]}
    card = (exported / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: robust_iqa_jax\n")
    assert "# block\n" in card
    assert "jax.export.deserialize" in card


def test_a_folder_of_the_hub_is_loaded_by_its_address(folder, monkeypatch):
    asked = []

    def snapshot_download(name, *, revision, allow_patterns):
        asked.append((name, revision, tuple(allow_patterns)))
        return str(folder / "block/exported")

    hub = types.ModuleType("huggingface_hub")
    hub.__spec__ = types.SimpleNamespace(name="huggingface_hub")
    hub.snapshot_download = snapshot_download
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    images = np.random.default_rng(1).uniform(0, 1, (2, 32, 32, 3)).astype(np.float32)
    wanted = riqa.load(folder / "block")(images)
    for address in ("hf://somebody/block", "hf:/somebody/block@v1"):
        np.testing.assert_array_equal(riqa.load(address)(images), wanted)
    files = ("model.json", "model.safetensors")
    assert asked == [("somebody/block", None, files), ("somebody/block", "v1", files)]

    def offline(*_, **__):
        raise OSError("no network\nmore lines")

    hub.snapshot_download = offline
    with pytest.raises(CheckpointError, match=r"^hf://somebody/block: cannot be downloaded \(no network\)$"):
        riqa.load("hf://somebody/block")
    with pytest.raises(CheckpointError, match=r"^hf://block: give hf://OWNER/NAME"):
        riqa.load("hf://block")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"huggingface_hub is not installed; pip install 'robust_iqa_jax\[hub\]'"):
        riqa.load("hf://somebody/block")


def test_files_of_others_are_kept_and_an_export_replaces_its_own(folder, capsys):
    (folder / "mine").mkdir()
    (folder / "mine/README.md").write_text("mine")
    assert main(["export", str(folder / "plain"), str(folder / "mine")]) == 1
    assert "README.md: exists and was not written by riqa" in capsys.readouterr().err
    assert main(["export", str(folder / "plain"), str(folder / "plain")]) == 1
    assert "holds the checkpoint that is exported" in capsys.readouterr().err
    assert main(["export", str(folder / "plain"), str(folder / "plain/exported"), "--platforms", "cpu"]) == 0
    with pytest.raises(SystemExit) as stop:
        main(["export", str(folder / "plain"), str(folder / "new"), "--platforms", "gpu"])
    assert stop.value.code == 2
