"""Checkpoints as people have them: under any usual name, behind wrappers, beside objects, in shards, or none at all."""

import argparse
import gzip
import io
import json
import pathlib
import re
import shutil
import struct
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save_file
from torch_pickles import VALUES, legacy_file, op_dict, op_global, op_int, op_str, op_tensor, op_tuple, zip_file

from robust_iqa_jax.models.linearity_iqa import RESCALE, rescale
from robust_iqa_jax.models.record import Rescale
from robust_iqa_jax.setting_error import with_options
from robust_iqa_jax.weights.conversion import from_torch
from robust_iqa_jax.weights.read import read_checkpoint
from robust_iqa_jax.weights.tensor_checks import check_calibration, check_tensors
from robust_iqa_jax.weights.torch_pickle import CheckpointError


def op_weights(offset=0, **names):
    """Opcodes of a mapping with a tensor for each name: three elements from `offset` on."""
    named = names or {"a.weight": None, "a.bias": None}
    return op_dict(**{name: op_tensor("0", 12, offset, (3,), (1,), legacy=False) for name in named})[2:-1]


def saved(path, **entries):
    return zip_file(path, op_dict(**entries), {"0": VALUES})


USUAL = ("net", "weights", "model_state_dict", "params_ema", "params-ema", "state_dict_ema", "model_ema", "state_dict")


@pytest.mark.parametrize("key", [*USUAL, "my_own_name"])
def test_weights_under_a_name_are_found(tmp_path, key):
    beside = {"epoch": op_int(3), "optimizer": op_dict(state=op_weights())[2:-1]}
    found = read_checkpoint(saved(tmp_path / "x.pth", **{key: op_weights()}, **beside))
    assert (found.entry, set(found.tensors), found.facts) == (key, {"a.weight", "a.bias"}, {"epoch": 3})
    np.testing.assert_array_equal(found.tensors["a.weight"], VALUES[:3])


def test_plain_weights_come_before_averaged_ones_and_either_can_be_chosen(tmp_path):
    path = saved(tmp_path / "x.pth", params_ema=op_weights(offset=6), params=op_weights())
    taken = read_checkpoint(path)
    assert (taken.entry, taken.others) == ("params", ("params_ema",))
    averaged = read_checkpoint(path, "params_ema")
    assert (averaged.entry, averaged.others) == ("params_ema", ("params",))
    np.testing.assert_array_equal(averaged.tensors["a.weight"], VALUES[6:9])
    with pytest.raises(CheckpointError, match=r"x\.pth: .*unknown entry 'params_em'; did you mean params_ema\?"):
        read_checkpoint(path, "params_em")


def test_a_prefix_of_names_is_an_entry_too(tmp_path):
    path = saved(tmp_path / "x.pth", state_dict=op_weights(**{"net.a": 1, "ema.a": 1, "ema.b": 1}))
    assert set(read_checkpoint(path, "ema").tensors) == {"a", "b"}
    save_file({"ema.a": VALUES, "net.a": VALUES}, tmp_path / "x.safetensors")
    assert set(read_checkpoint(tmp_path / "x.safetensors", "ema").tensors) == {"a"}
    with pytest.raises(CheckpointError, match="unknown entry 'emma'; did you mean ema"):
        read_checkpoint(tmp_path / "x.safetensors", "emma")


def test_entries_lie_in_one_another_and_two_without_usual_names_are_asked_about(tmp_path):
    nested = saved(tmp_path / "x.pth", state_dict=op_dict(net=op_weights())[2:-1])
    assert read_checkpoint(nested).entry == "state_dict/net"
    several = saved(tmp_path / "y.pth", first=op_weights(), second=op_weights())
    with pytest.raises(
        CheckpointError, match="several sets of weights: first, second; choose one with entry"
    ) as caught:
        read_checkpoint(several)
    assert with_options(caught.value).count("choose one with --entry") == 1
    assert read_checkpoint(several, "second").entry == "second"


@pytest.mark.parametrize(
    "prefix", ["_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "_fsdp_wrapped_module.", "module.module."]
)
def test_wrappers_of_the_whole_and_of_parts_are_taken_off(tmp_path, prefix):
    names = {f"{prefix}a.weight": 1, f"{prefix}b._orig_mod.weight": 1, f"{prefix}my_orig_mod.weight": 1}
    found = read_checkpoint(saved(tmp_path / "x.pth", state_dict=op_weights(**names)))
    assert set(found.tensors) == {"a.weight", "b.weight", "my_orig_mod.weight"}


def test_two_tensors_of_one_name_are_refused_unless_they_are_alike(tmp_path):
    save_file({"module.a": VALUES, "a": VALUES}, tmp_path / "alike.safetensors")
    assert set(read_checkpoint(tmp_path / "alike.safetensors").tensors) == {"a"}
    save_file({"module.a": VALUES, "a": VALUES + 1}, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match=r"holds a twice, as module.a too, with other values"):
        read_checkpoint(tmp_path / "x.safetensors")


EVIL = op_global("os", "system") + op_tuple(op_str("touch executed")) + b"R"
OBJECTS = {
    "namespace": op_global("argparse", "Namespace") + b")\x81}(" + op_str("lr") + op_int(1) + b"ub",
    "path": op_global("pathlib", "PosixPath") + op_tuple(op_str("runs")) + b"R",
    "class": op_global("torch", "float32"),
    "evil": EVIL,
    "evil class": b"(" + op_global("subprocess", "Popen") + op_str("touch executed") + b"o",
    "evil state": op_global("a", "B") + b")\x81" + EVIL + b"b",
    "attribute": op_global("builtins", "getattr") + op_tuple(op_global("os", "a"), op_str("system")) + b"R"
    + op_tuple(op_str("touch executed")) + b"R",
    "complex": op_tensor("1", 2, 0, (2,), (1,), "ComplexFloatStorage", legacy=False),
    "sparse": op_global("torch._utils", "_rebuild_sparse_tensor") + op_tuple(b"N") + b"R",
    "extension": b"\x82\x01",
    "set": b"\x8f(" + op_int(1) + b"\x90",
}  # fmt: skip


@pytest.mark.parametrize("kind", OBJECTS)
@pytest.mark.parametrize("place", ["beside", "among"])
def test_objects_are_left_out_and_nothing_is_executed(tmp_path, monkeypatch, kind, place):
    monkeypatch.chdir(tmp_path)
    tensor = op_tensor("0", 12, 0, (3,), (1,), legacy=False)
    among = {"cfg": OBJECTS[kind]} if place == "among" else {}
    beside = {"hyper_parameters": OBJECTS[kind]} if place == "beside" else {}
    found = read_checkpoint(saved(tmp_path / "x.pth", state_dict=op_dict(a=tensor, **among)[2:-1], **beside))
    assert set(found.tensors) == {"a"}
    assert [name.split(" ")[0] for name in found.left_out] == list(among)
    assert not (tmp_path / "executed").exists()


def test_arrays_and_numbers_of_numpy_are_read(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra 'parity')")
    weight = np.arange(6.0).reshape(2, 3)
    values = {"best": np.zeros(2), "k": np.float16(2), "b": np.array([3]), "name": np.array(["x"]), "o": np.array([{}])}
    torch.save({"state_dict": {"w": weight, "f": np.asfortranarray(weight)}, **values}, tmp_path / "x.pth")
    found = read_checkpoint(tmp_path / "x.pth")
    np.testing.assert_array_equal(found.tensors["w"], weight)
    np.testing.assert_array_equal(found.tensors["f"], weight)
    assert found.facts == {"best": [0, 0], "k": 2, "b": [3]}


def test_what_lightning_and_argparse_leave_beside_the_weights(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra 'parity')")
    hyper = argparse.Namespace(lr=0.1, out=pathlib.Path("runs"), device=torch.device("cpu"), kind=torch.float16)
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.note = "kept by torch as _rebuild_parameter_with_state"
    state = {"a": torch.ones(2), "b": parameter}
    for kind in (True, False):
        torch.save({"state_dict": state, "hyper_parameters": hyper, "callbacks": {"x": hyper}}, tmp_path / "x.ckpt",
                   _use_new_zipfile_serialization=kind)  # fmt: skip
        assert set(read_checkpoint(tmp_path / "x.ckpt").tensors) == {"a", "b"}


def test_a_whole_module_says_to_save_its_state_dict(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra 'parity')")
    module = torch.nn.Linear(2, 2)
    for content in (module, {"model": module, "epoch": 3}):
        for kind in (True, False):
            torch.save(content, tmp_path / "x.pth", _use_new_zipfile_serialization=kind)
            with pytest.raises(
                CheckpointError,
                match=r"x\.pth: refused: .* whole pickled module \(torch\.nn\.modules\.linear\.Linear\).*"
                r"torch\.save\(model\.state_dict\(\), FILE\)$",
            ):
                read_checkpoint(tmp_path / "x.pth")


def test_rescale_is_read_from_every_kind_of_number(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra 'parity')")
    one = torch.tensor(9.5)
    kinds = (9.5, [9.5, 1, 1], one, one[None], torch.tensor([9.5, 1, 1]), np.float32(9.5), np.float64(9.5),
             [one, 1, 1], np.array([9.5]), np.array(9.5), torch.nn.Parameter(one.double()))  # fmt: skip
    for number in kinds:
        torch.save({"model": {"a": torch.ones(2)}, "k": number, "b": number, "min": number, "max": 90}, tmp_path / "x")
        assert rescale(read_checkpoint(tmp_path / "x").facts) == Rescale(9.5, 9.5, 9.5, 90), number
    torch.save({"a": torch.ones(2), "k": one, "b": one}, tmp_path / "x")  # among the weights
    assert {"k", "b"} <= set(read_checkpoint(tmp_path / "x").tensors) & set(RESCALE)
    with pytest.raises(CheckpointError, match="its k is 'steep', not a number; give slope and intercept") as caught:
        rescale({"k": "steep", "b": 1})
    assert with_options(caught.value).endswith("give --slope and --intercept")


def _zip(**files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/"), content)
    return buffer.getvalue()


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"
OTHERS = {
    "pointer": (POINTER, "a Git LFS pointer in place of the file; fetch it with git lfs pull"),
    "page": (b"\n<!DOCTYPE html><html><head>Sign in", "a web page that was saved in its place; download it again"),
    "page in capitals": (b"<HTML>", "a web page"),
    "xml": (b"<?xml version='1.0'?><Error><Code>AccessDenied", "a web page"),
    "empty": (b"", "an empty file"),
    "gz": (gzip.compress(b"weights"), "a gzip archive; unpack it"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file, as of Keras or TensorFlow"),
    "onnx": (b"\x08\x07\x12\x07pytorch\x1a\x052.1.0", "an ONNX model"),
    "tflite": (b"\x1c\0\0\0TFL3" + bytes(20), "a TensorFlow Lite model"),
    "zip around": (_zip(**{"weights.pth": b"x"}), "a zip archive around weights.pth; unpack it"),
    "zip": (_zip(**{"a.txt": b"x"}), r"a zip archive without one data.pkl \(holds a.txt\)"),
    "keras": (_zip(**{"config.json": b"{}", "model.weights.h5": b"x"}), "a Keras model"),
    "script": (_zip(**{"x__data.pkl": b"x", "x__constants.pkl": b"x", "x__code__a.py": b"x"}), "a TorchScript archive"),
    "picture": (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    "json": (b'{"format": 1}', "a JSON text"),
    "tar": (b"x" * 257 + b"ustar\x0000" + bytes(300), "a tar archive"),
}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".msgpack", ""])
@pytest.mark.parametrize("kind", OTHERS)
def test_files_of_another_kind_are_called_what_they_are(tmp_path, kind, suffix):
    content, message = OTHERS[kind]
    (tmp_path / f"x{suffix}").write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"^[^\n]*x{suffix}: not a (torch )?checkpoint but {message}[^\n]*$"):
        read_checkpoint(tmp_path / f"x{suffix}")


@pytest.mark.parametrize("suffix", [".bin", ".pth", ".safetensors"])
def test_content_tells_the_format_where_the_name_is_wrong(tmp_path, suffix):
    save_file({"a": VALUES}, tmp_path / f"x{suffix}")
    np.testing.assert_array_equal(read_checkpoint(tmp_path / f"x{suffix}").tensors["a"], VALUES)
    saved(tmp_path / f"y{suffix}", state_dict=op_weights(a=1))
    assert set(read_checkpoint(tmp_path / f"y{suffix}").tensors) == {"a"}


def test_a_numpy_archive_is_read_whatever_its_name_and_its_parts(tmp_path):
    tree = {"opt/target/a/kernel": VALUES, "opt/target/b": np.float16([1.5]), "opt/state/step": np.int32(3)}
    np.savez(tmp_path / "x.npz", **tree)
    shutil.copy(tmp_path / "x.npz", tmp_path / "x.pth")
    for path in (tmp_path / "x.npz", tmp_path / "x.pth"):
        found = read_checkpoint(path).tensors
        assert list(found) == list(tree)
        assert {name: array.dtype for name, array in found.items()} == dict(
            zip(tree, (VALUES.dtype, np.float32, np.int32), strict=True)
        )
        np.testing.assert_array_equal(found["opt/target/a/kernel"], VALUES)
    assert set(read_checkpoint(path, "opt/target").tensors) == {"a/kernel", "b"}


@pytest.mark.parametrize("change", ["objects", "cut", "damaged", "bomb"])
def test_a_numpy_archive_that_cannot_be_read_is_refused(tmp_path, change):
    path = tmp_path / "x.npz"
    np.savez(path, a=np.array([{}]) if change == "objects" else VALUES)
    whole = bytearray(path.read_bytes())
    if change == "damaged":
        whole[whole.index(b"NUMPY") + 130] ^= 255  # the checksum of what follows the header no longer holds
    if change == "bomb":
        np.savez_compressed(path, a=np.zeros(40_000_000, np.int8))
        whole = path.read_bytes()
    path.write_bytes(whole[:-40] if change == "cut" else whole)
    with pytest.raises(CheckpointError, match=r"^[^\n]*x\.npz: [^\n]*$") as caught:
        read_checkpoint(path)
    reason = {"objects": "Object arrays cannot be loaded", "bomb": "declares 40,000,128 bytes of tensors"}.get(
        change, "damaged"
    )
    assert re.search(reason, str(caught.value))


def shards(folder):
    save_file({"a": VALUES, "stale": VALUES}, folder / "model-1.safetensors")
    save_file({"b": VALUES + 1}, folder / "model-2.safetensors")
    places = {"a": "model-1.safetensors", "b": "model-2.safetensors"}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 96}, "weight_map": places}))
    return index, places


def test_shards_are_put_together_by_their_index(tmp_path):
    index, _ = shards(tmp_path)
    for path in (index, tmp_path):
        found = read_checkpoint(path)
        assert set(found.tensors) == {"a", "b"}
        np.testing.assert_array_equal(found.tensors["b"], VALUES + 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"b": "model-3.safetensors"}, "its shard model-3.safetensors is not beside it"),
        ({"b": "../model-2.safetensors"}, "its shard '../model-2.safetensors' is not a file beside it"),
        ({"b": "/etc/passwd"}, "is not a file beside it"),
        ({"b": "model-1.safetensors"}, "its shard model-1.safetensors lacks 1 tensors, first b"),
        ({"b": 3}, "no index of shards"),
    ],
)
def test_a_wrong_index_is_named(tmp_path, change, message):
    index, places = shards(tmp_path)
    index.write_text(json.dumps({"weight_map": {**places, **change}}))
    with pytest.raises(CheckpointError, match=rf"index\.json: .*{message}"):
        read_checkpoint(index)


def test_folders_are_called_what_they_are(tmp_path):
    ours, run, hub = tmp_path / "ours", tmp_path / "run", tmp_path / "hub"
    for folder in (ours, run / "model"):
        folder.mkdir(parents=True)
        (folder / "model.json").write_text("{}")
        save_file({"a": VALUES}, folder / "model.safetensors")
    for folder, inner in ((ours, ours), (run, run / "model")):
        with pytest.raises(
            CheckpointError, match=rf"is a checkpoint of riqa already; .*use checkpoint {inner}$"
        ) as caught:
            read_checkpoint(folder)
        assert with_options(caught.value).endswith(f"use --checkpoint {inner}")
    hub.mkdir()
    (hub / "config.json").write_text("{}")
    with pytest.raises(
        CheckpointError, match=r"a folder of Hugging Face without model.safetensors or pytorch_model.bin"
    ):
        read_checkpoint(hub)
    save_file({"a": VALUES}, hub / "model.safetensors")
    assert set(read_checkpoint(hub).tensors) == {"a"}
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"x")
    with pytest.raises(CheckpointError, match="a SavedModel of TensorFlow"):
        read_checkpoint(tmp_path / "saved")
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.pth").write_bytes(b"x")
    with pytest.raises(CheckpointError, match=r"a folder that orbax did not write; give one of its files, .*a\.pth"):
        read_checkpoint(tmp_path / "files")


def test_no_more_memory_than_the_file_explains(tmp_path):
    huge = op_tensor("0", 12, 0, (1 << 20, 1 << 20), (0, 0), legacy=False)
    with pytest.raises(CheckpointError, match=r"declares .* GB of tensors in .* bytes of file"):
        read_checkpoint(saved(tmp_path / "expanded.pth", x=huge))
    bomb = tmp_path / "bomb.pth"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data.pkl", op_dict(x=op_tensor("0", 1 << 24, 0, (1 << 24,), (1,), legacy=False)))
        archive.writestr("m/data/0", bytes(1 << 26))
    with pytest.raises(CheckpointError, match=r"declares .* of tensors in .* bytes of file"):
        read_checkpoint(bomb)
    # a memo index, a string and a frame of terabytes
    for opcodes in (
        b"\x80\x02Nr\xff\xff\xff\xff.",
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 42),
        b"\x80\x04\x95" + b"\xff" * 8,
    ):
        legacy_file(tmp_path / "x.pth", opcodes, {})
        with pytest.raises(CheckpointError, match=r"x\.pth: "):
            read_checkpoint(tmp_path / "x.pth")
    mask = {"w_orig": np.ones((1 << 16, 1), np.float32), "w_mask": np.ones((1, 1 << 16), np.float32)}
    save_file(mask, tmp_path / "mask.safetensors")
    with pytest.raises(CheckpointError, match=r"w_mask is .*, which does not mask w_orig"):
        read_checkpoint(tmp_path / "mask.safetensors")


def test_a_key_nested_as_deep_as_memory_does_not_crash(tmp_path):
    deep = b"N" + b"\x85" * 1_000_000
    path = zip_file(tmp_path / "x.pth", b"\x80\x02}(" + deep + b"N" + op_str("a") + op_tensor(
        "0", 12, 0, (3,), (1,), legacy=False) + b"u.", {"0": VALUES})  # fmt: skip
    assert set(read_checkpoint(path).tensors) == {"a"}


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ([1, -1e-9], "negative"),
        ([1, np.nan], "not_finite"),
        ([1, -np.inf], "not_finite"),
        ([1, 1e300], "not_finite"),
        (np.int8([1, 2]), "not_floats"),
        ([1.0, 0.0], None),
    ],
)
def test_values_that_no_model_can_have_are_reported(values, field):
    values = np.asarray(values)
    shapes = {"batch_stats": {"bn": {"var": values}}}
    variables, report = from_torch({"bn.running_var": values}, shapes, lambda path: "bn.running_var")
    fields = ("negative", "not_finite", "not_floats", "missing", "misshapen", "unused")
    assert [name for name in fields if getattr(report, name)] == ([field] if field else [])
    assert bool(report.problems(allow_missing=True)) is bool(field)
    assert bool(variables) is not bool(field)
    if field:
        with pytest.raises(ValueError, match="1 tensors with values that no model can have, first batch_stats/bn/var"):
            check_tensors({"batch_stats/bn/var": values, "params/bn/bias": np.float32([-1])})
    else:
        check_tensors({"batch_stats/bn/var": values, "params/bn/bias": np.float32([-1])})


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_a_calibration_is_finite(value):
    check_calibration({"slope": 1, "intercept": 0, "low": 0, "high": 1})
    with pytest.raises(ValueError, match=r"high is (nan|inf|1e.300); a calibration must be finite"):
        check_calibration({"slope": 1, "intercept": 0, "low": 0, "high": value})
