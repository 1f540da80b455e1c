"""`riqa convert` and `riqa models`: what fits is taken whole, what does not leaves one line and nothing on disk."""

import json
import pickle
import zipfile

import flax.serialization
import flax.traverse_util
import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from safetensors.numpy import save_file

import robust_iqa_jax as riqa
from robust_iqa_jax.cli import main
from robust_iqa_jax.models.presets import PRESETS, preset
from robust_iqa_jax.models.registry import shapes
from robust_iqa_jax.weights.efficientnet_lite import load_imagenet, weights_file
from robust_iqa_jax.weights.read import read_tensors
from robust_iqa_jax.weights.torch_pickle import CheckpointError, read_torch_state_dict

MODEL = "linearity-efficientnet_lite0"


def run(capsys, *args):
    status = main([str(arg) for arg in args])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture(scope="module")
def drawn():
    """Random variables of the model, flat: "params/backbone/..." -> array; variances positive."""
    rng = np.random.default_rng(0)
    flat = flax.traverse_util.flatten_dict(shapes(preset(MODEL)), sep="/")
    return {name: rng.uniform(0.1, 1, leaf.shape).astype(np.float32) for name, leaf in flat.items()}


@pytest.mark.slow  # test_paper_configs.py starts a model from a checkpoint
def test_a_backbones_weights_start_a_model(tmp_path, capsys):
    status, out, err = run(capsys, "convert", weights_file("lite0"), tmp_path / "model", "--model", MODEL)
    assert status == 1
    assert err.count("\n") == 1
    assert "does not fit linearity-efficientnet_lite0: " in err
    assert " missing: batch_stats/head/" in err
    assert "--allow-missing" in err
    assert not (tmp_path / "model").exists()
    status, out, err = run(
        capsys, "convert", weights_file("lite0"), tmp_path / "model", "--model", MODEL, "--allow-missing"
    )
    assert (status, err) == (0, "")
    assert "efficientnet-lite-pytorch" in out
    scorer = riqa.load(tmp_path / "model")
    expected = load_imagenet("lite0", include_classifier=False)
    for name in ("params", "batch_stats"):
        jax.tree.map(np.testing.assert_array_equal, scorer.variables[name]["backbone"], expected[name])


@pytest.mark.parametrize("kind", ["safetensors", "msgpack", "orbax"])
def test_our_names_go_through_every_format(kind, drawn, tmp_path, capsys):
    source, tree = tmp_path / f"weights.{kind}", flax.traverse_util.unflatten_dict(drawn, sep="/")
    if kind == "safetensors":
        save_file(drawn, source)
    elif kind == "msgpack":
        source.write_bytes(flax.serialization.msgpack_serialize(tree))
    else:
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(source, tree)
    command = ("convert", source, tmp_path / "model", "--model", MODEL, "--slope", 20, "--intercept", 50, "--json")
    status, out, _ = run(capsys, *command)
    assert status == 0
    report = json.loads(out)
    assert report["release"] == "flax"
    assert len(report["used"]) == len(drawn)
    assert not any(report[kind] for kind in ("unused", "missing", "misshapen", "not_finite"))
    scorer = riqa.load(tmp_path / "model")
    assert float(scorer.calibration.slope) == 20
    stored = flax.traverse_util.flatten_dict(dict(scorer.variables), sep="/")
    for name, array in drawn.items():
        np.testing.assert_array_equal(stored[name], array)


class Evil:
    def __reduce__(self):
        return print, ("executed",)


def broken_files(folder, drawn):
    """Kind -> (path, what the one line must say)."""
    executing = folder / "evil.pth"
    with zipfile.ZipFile(executing, "w") as archive:
        archive.writestr("evil/data.pkl", pickle.dumps({"weight": Evil()}))
    whole = weights_file("lite0").read_bytes()
    cut = folder / "cut.pth"
    cut.write_bytes(whole[: len(whole) // 2])
    short = folder / "short.safetensors"
    save_file(drawn, folder / "whole.safetensors")
    short.write_bytes((folder / "whole.safetensors").read_bytes()[:-1000])
    nan = folder / "nan.safetensors"
    first = next(iter(drawn))
    save_file({**drawn, first: np.full_like(drawn[first], np.nan)}, nan)
    misshapen = folder / "misshapen.safetensors"
    save_file({**drawn, first: np.zeros((7, 7), np.float32)}, misshapen)
    noise = folder / "noise.msgpack"
    noise.write_bytes(b"\xc1" * 100)
    return {
        "executing": (executing, "refused: its pickle asks for"),
        "truncated torch": (cut, "truncated"),
        "truncated safetensors": (short, "damaged, or not what its name says"),
        "NaN": (nan, f"1 not finite: {first}"),
        "misshapen": (misshapen, f"1 of another shape: {first} (7, 7) instead of"),
        "msgpack": (noise, "damaged, or not what its name says"),
        "absent": (folder / "absent.pth", "no such file"),
        "folder": (folder, "damaged, or not what its name says"),
    }


KINDS = ("executing", "truncated torch", "truncated safetensors", "NaN", "misshapen", "msgpack", "absent", "folder")


@pytest.mark.parametrize("kind", KINDS)
def test_broken_and_malicious_files_leave_one_line_and_nothing_on_disk(kind, drawn, tmp_path, capsys):
    source, message = broken_files(tmp_path, drawn)[kind]
    before = sorted(path.name for path in tmp_path.iterdir())
    # --allow-missing must not let any of these through
    status, out, err = run(capsys, "convert", source, tmp_path / "model", "--model", MODEL, "--allow-missing")
    assert status == 1
    assert err.count("\n") == 1
    assert message in err
    assert "executed" not in out + err
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_another_architecture_is_refused_even_where_missing_is_allowed(tmp_path, capsys):
    command = ("convert", weights_file("lite0"), tmp_path / "model", "--model", "linearity-resnet18", "--allow-missing")
    status, _, err = run(capsys, *command)
    assert status == 1
    assert "does not fit linearity-resnet18" in err
    assert not (tmp_path / "model").exists()
    status, _, err = run(capsys, "convert", weights_file("lite0"), tmp_path / "model", "--model", "linearity")
    assert status == 1
    assert err.startswith("riqa convert: unknown model 'linearity'; did you mean linearity-")
    assert err.count("\n") == 1


def test_prefix_and_pruning_masks_of_torch_are_undone(tmp_path):
    weight, mask = np.arange(6, dtype=np.float32).reshape(2, 3), np.float32([[1, 0, 1], [0, 1, 1]])
    tensors = {"module.a.weight_orig": weight, "module.a.weight_mask": mask, "module.a.bias": np.float16([1, 2])}
    save_file(tensors, tmp_path / "pruned.safetensors")
    read, facts = read_tensors(tmp_path / "pruned.safetensors")
    assert facts == {}
    assert set(read) == {"a.weight", "a.bias"}
    np.testing.assert_array_equal(read["a.weight"], weight * mask)
    assert read["a.bias"].dtype == np.float32


def test_torch_files_are_read_by_content(tmp_path):
    assert read_tensors(weights_file("lite0"))[0].keys() == read_torch_state_dict(weights_file("lite0")).keys()
    (tmp_path / "text.pth").write_text("weights")
    with pytest.raises(CheckpointError, match="not a torch checkpoint"):
        read_tensors(tmp_path / "text.pth")


def test_models_are_listed_with_size_input_and_cost(capsys):
    status, out, _ = run(capsys, "models", MODEL, "linearity-resnet50", "linearity-resnet50-robust", "--json")
    assert status == 0
    lite, plain, robust = json.loads(out)
    assert lite["model"] == MODEL
    assert plain["input_size"] == [498, 664]
    # ResNet-50 without its classifier (25,557,032 - 2,049,000) and the two-level head
    head = sum(1024 * i + 1024 + 2 * 1024 + 1024 * 256 + 3 * 256 + 256 * 64 + 3 * 64 + 65 for i in (1024, 2048)) + 129
    assert plain["parameters"] == 25_557_032 - 2_049_000 + head
    block = 9 * 1024 * 200 + 200 + 9 * 200 * 1024 + 1024 + 1
    assert robust["parameters"] == plain["parameters"] + block
    # 4.09 G multiply-adds at 224 x 224 (torchvision); here sides round up, and element-wise operations count
    assert plain["gflop"] == pytest.approx(2 * 4.09 * 498 * 664 / 224**2, rel=0.06)
    assert run(capsys, "models", "resnet")[0] == 1
    assert "linearity-resnet50" in run(capsys, "models", "linearity-resnet50")[1]


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_json(name):
    spec = preset(name)
    assert type(spec).from_json(json.loads(json.dumps(spec.to_json()))) == spec
