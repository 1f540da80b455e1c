"""What scoring and attacking import: nothing of an extra, and no package that is not named here."""

import json
import os
import subprocess
import sys

import pytest
import tiny_backbone
from PIL import Image
from places import SUPPORT
from skimage import data
from tiny_checkpoint import write_checkpoint

from robust_iqa_jax.extras import EXTRAS

LIBRARY = {"robust_iqa_jax"}
SCORING = LIBRARY | {
    "PIL", "_csparsetools", "_cyutility", "absl", "docstring_parser", "etils", "flax", "jax", "jaxlib", "jaxtyping",
    "ml_dtypes", "msgpack", "numpy", "opt_einsum", "pygments", "rich", "safetensors", "scipy", "typeguard",
    "typing_extensions", "tyro", "wadler_lindig", "yaml",
    "charset_normalizer", "cloudpickle", "filelock", "flatbuffers",  # numpy and jax take them where they are
}  # fmt: skip
ATTACKING = SCORING | {"optax"}
"""Modules of site-packages."""

CHILD = """
import importlib.abc, json, sys

class Hides(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

def imported():
    files = {name.split(".")[0]: getattr(module, "__file__", None) or "" for name, module in list(sys.modules.items())}
    return {name for name, file in files.items() if "site-packages" in file}

hidden, folder = set(json.loads(sys.argv[1])), sys.argv[2]
sys.meta_path.insert(0, Hides())
before = imported()
import robust_iqa_jax
from robust_iqa_jax.cli import main
seen = {"library": imported() - before}
import pytest
tests = imported() - before - seen["library"]  # tiny_backbone's
import tiny_backbone
with tiny_backbone.registered():
    tail = ["--checkpoint", f"{folder}/model"]
    for name, command in {
        "score": ["score", f"{folder}/photo.png", *tail],
        "attack": ["attack", f"{folder}/photo.png", "--steps", "1", "--out", f"{folder}/attacked", *tail],
    }.items():
        assert main(command) == 0
        seen[name] = imported() - before - tests
print(json.dumps({name: sorted(modules) for name, modules in seen.items()}))
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory, hardly_optimised):
    folder = tmp_path_factory.mktemp("lean")
    Image.fromarray(data.astronaut()[:60, :48]).save(folder / "photo.png")
    with tiny_backbone.registered():
        write_checkpoint(folder / "model")
    command = [sys.executable, "-c", CHILD, json.dumps(sorted(EXTRAS)), str(folder)]
    environment = os.environ | {"PYTHONPATH": str(SUPPORT)}
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {name: set(modules) for name, modules in json.loads(done.stdout.splitlines()[-1]).items()}


@pytest.mark.parametrize(("use", "allowed"), [("library", LIBRARY), ("score", SCORING), ("attack", ATTACKING)])
def test_only_these_packages_are_imported(use, allowed, seen):
    assert seen[use] <= allowed
    assert not seen[use] & EXTRAS.keys()


def test_scoring_is_seen_to_import_what_it_needs(seen):
    assert {"flax", "jax", "safetensors", "tyro"} <= seen["score"]
