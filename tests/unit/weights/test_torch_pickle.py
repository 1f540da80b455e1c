"""The checkpoint reader agrees with torch, refuses anything but weights, and explains damaged files in one line.
Torch-free cases are written byte by byte here, from the file formats in torch/serialization.py."""

import io
import os
import pickle
import struct

import ml_dtypes
import numpy as np
import pytest
from torch_pickles import (
    MAGIC,
    VALUES,
    legacy_file,
    op_dict,
    op_global,
    op_int,
    op_number,
    op_str,
    op_tensor,
    op_tuple,
    zip_file,
)

from robust_iqa_jax.weights.torch_pickle import CheckpointError, read_torch_checkpoint, read_torch_state_dict


@pytest.mark.parametrize("kind", ["legacy", "zip"])
@pytest.mark.parametrize(
    ("offset", "shape", "strides", "expected"),
    [
        (0, (3, 4), (4, 1), VALUES.reshape(3, 4)),
        (0, (4, 3), (1, 4), VALUES.reshape(3, 4).T),
        (5, (2, 3), (4, 1), VALUES.reshape(3, 4)[1:, 1:]),
        (1, (3, 2), (4, 2), VALUES.reshape(3, 4)[:, 1::2]),
        (11, (), (), VALUES[11]),
        (2, (2, 12), (1, 0), np.tile(VALUES[2:4, None], 12)),
        (12, (0, 4), (4, 1), np.zeros((0, 4), np.float32)),
    ],
    ids=["whole", "transposed", "sliced", "strided", "scalar", "expanded", "empty"],
)
def test_strides_and_offsets_are_honoured(tmp_path, kind, offset, shape, strides, expected):
    write = legacy_file if kind == "legacy" else zip_file
    pickled = op_dict(weight=op_tensor("7", 12, offset, shape, strides, legacy=kind == "legacy"))
    read = read_torch_state_dict(write(tmp_path / "w.pth", pickled, {"7": VALUES}))
    assert list(read) == ["weight"]
    np.testing.assert_array_equal(read["weight"], expected, strict=True)


@pytest.mark.parametrize(
    ("storage", "dtype"),
    [
        ("FloatStorage", np.float32),
        ("DoubleStorage", np.float64),
        ("HalfStorage", np.float16),
        ("BFloat16Storage", ml_dtypes.bfloat16),
        ("LongStorage", np.int64),
        ("IntStorage", np.int32),
        ("ShortStorage", np.int16),
        ("CharStorage", np.int8),
        ("ByteStorage", np.uint8),
        ("BoolStorage", np.bool_),
    ],
)
def test_every_dtype_is_read_in_its_own_type(tmp_path, storage, dtype):
    values = np.array([0, 1, 1, 0, 1]).astype(dtype)
    pickled = op_dict(x=op_tensor("0", 5, 0, (5,), (1,), storage))
    np.testing.assert_array_equal(
        read_torch_state_dict(legacy_file(tmp_path / "x.pth", pickled, {"0": values}))["x"], values, strict=True
    )


@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_a_nested_mapping_under_a_usual_key_is_taken(tmp_path, key):
    inner = op_dict(x=op_tensor("0", 12, 0, (12,), (1,)))[2:-1]
    path = legacy_file(tmp_path / "x.pth", op_dict(epoch=op_int(3), **{key: inner}), {"0": VALUES})
    assert list(read_torch_state_dict(path)) == ["x"]


def test_plain_values_beside_the_model_are_read_and_all_else_is_left_out(tmp_path):
    inner = op_dict(x=op_tensor("0", 12, 0, (12,), (1,)))[2:-1]
    k = b"](" + op_int(3) + b"G" + struct.pack(">d", 0.5) + b"e"
    pickled = op_dict(model=inner, k=k, min=op_number(), epoch=op_int(7), name=op_str("run"), optimizer=b"}", no=b"N")
    tensors, values = read_torch_checkpoint(legacy_file(tmp_path / "x.pth", pickled, {"0": VALUES}))
    assert list(tensors) == ["x"]
    assert values == {"k": [3, 0.5], "min": 2.5, "epoch": 7, "name": "run"}
    assert read_torch_checkpoint(legacy_file(tmp_path / "y.pth", b"\x80\x02" + inner + b".", {"0": VALUES}))[1] == {}


@pytest.mark.parametrize(
    "number",
    [
        op_number(code=b"O8"),
        op_number(order=">"),
        op_number(raw=b"1234"),
        op_global("_codecs", "encode") + op_tuple(op_str("x"), op_str("rot13")) + b"R",
        op_global("numpy.core.multiarray", "scalar") + op_tuple(op_int(3), op_int(4)) + b"R",
    ],
    ids=["object", "big endian", "size", "codec", "type"],
)
def test_a_number_that_numpy_would_not_write_is_refused(tmp_path, number):
    inner = op_dict(x=op_tensor("0", 12, 0, (12,), (1,)))[2:-1]
    path = legacy_file(tmp_path / "x.pth", op_dict(model=inner, min=number), {"0": VALUES})
    with pytest.raises(CheckpointError, match=r"x.pth: (damaged: (a numpy number|bytes)|a numpy number)"):
        read_torch_state_dict(path)


@pytest.mark.parametrize("place", ["plain", "legacy", "zip", "header"])
@pytest.mark.parametrize(
    ("module", "name"), [("os", "system"), ("builtins", "eval"), ("torch", "load"), ("torch.storage", "UntypedStorage")]
)
def test_a_malicious_pickle_is_refused_and_nothing_is_executed(tmp_path, place, module, name):
    sentinel, path = tmp_path / "executed", tmp_path / "evil.pth"
    command = f"touch {sentinel}" if name == "system" else f"open({str(sentinel)!r}, 'w')"
    evil = b"\x80\x02" + op_global(module, name) + op_tuple(op_str(command)) + b"R."
    if place == "plain":
        path.write_bytes(evil)
    elif place == "legacy":
        legacy_file(path, evil, {})
    elif place == "zip":
        zip_file(path, evil, {})
    else:
        path.write_bytes(pickle.dumps(MAGIC, 2) + evil)
    with pytest.raises(CheckpointError, match=rf"^[^\n]*evil\.pth: refused[^\n]*{module}\.{name}[^\n]*$"):
        read_torch_state_dict(path)
    assert not sentinel.exists()


class _Evil:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_an_object_that_runs_a_command_when_unpickled_does_not_run_it(tmp_path):
    path = tmp_path / "evil.pth"
    pickled = pickle.dumps({"weight": _Evil(f"touch {tmp_path / 'executed'}")})
    pickle.loads(pickled)
    assert (tmp_path / "executed").exists(), "the attack itself does not work, the test would prove nothing"
    (tmp_path / "executed").unlink()
    legacy_file(path, pickled, {})
    with pytest.raises(CheckpointError, match="refused"):
        read_torch_state_dict(path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("kind", ["legacy", "zip"])
@pytest.mark.parametrize("fraction", [0.0, 0.03, 0.2, 0.5, 0.8, 0.99])
def test_a_truncated_file_is_one_clear_line(tmp_path, kind, fraction):
    write = legacy_file if kind == "legacy" else zip_file
    pickled = op_dict(x=op_tensor("0", 12, 0, (12,), (1,), legacy=kind == "legacy"))
    path = write(tmp_path / "x.pth", pickled, {"0": VALUES})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * fraction)])
    with pytest.raises(CheckpointError, match=r"^[^\n]*x\.pth: [^\n]*(truncated|damaged)[^\n]*$"):
        read_torch_state_dict(path)


def test_no_prefix_of_a_legacy_file_loads(tmp_path):
    path = legacy_file(tmp_path / "x.pth", op_dict(x=op_tensor("0", 12, 0, (12,), (1,))), {"0": VALUES})
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"x\.pth"):
            read_torch_state_dict(path)


def _npz():
    file = io.BytesIO()
    np.savez(file, x=VALUES)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [b"", b"not a checkpoint", b"\x89PNG\r\n\x1a\n" + bytes(64), pickle.dumps({"x": 1}), bytes(range(256)), _npz()],
    ids=["empty", "text", "png", "other pickle", "noise", "npz"],
)
def test_a_file_of_another_kind_is_named_as_such(tmp_path, content):
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"^[^\n]*x\.pth: not a torch checkpoint[^\n]*$"):
        read_torch_state_dict(tmp_path / "x.pth")


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (op_tensor("0", 12, 1, (12,), (1,)), "reaches element 12 of a storage of 12"),
        (op_tensor("0", 12, 0, (3, 4), (5, 1)), "reaches element 13"),
        (op_tensor("0", 12, 0, (3, 4), (4,)), "invalid"),
        (op_tensor("0", 12, -1, (3,), (1,)), "invalid"),
        (op_tensor("0", 12, 0, (-3,), (1,)), "invalid"),
        (op_tensor("1", 12, 0, (12,), (1,)), "storage"),
        (op_tensor("0", 11, 0, (11,), (1,)), "12 elements instead of 11"),
    ],
)
def test_a_tensor_that_does_not_fit_its_storage_is_refused(tmp_path, tensor, message):
    path = legacy_file(tmp_path / "x.pth", op_dict(x=tensor), {"0": VALUES})
    with pytest.raises(CheckpointError, match=rf"x\.pth: .*{message}"):
        read_torch_state_dict(path)


@pytest.mark.parametrize(("entry", "kind"), [(op_int(3), "int"), (b"]", "list"), (b"}", "dict")])
def test_an_entry_that_is_not_a_tensor_is_named(tmp_path, entry, kind):
    path = legacy_file(tmp_path / "x.pth", op_dict(x=entry), {})
    with pytest.raises(CheckpointError, match=rf"x\.pth: entry 'x' is not a tensor \({kind}\)"):
        read_torch_state_dict(path)


def test_a_missing_zip_storage_is_named(tmp_path):
    path = zip_file(tmp_path / "x.pth", op_dict(x=op_tensor("0", 12, 0, (12,), (1,), legacy=False)), {})
    with pytest.raises(CheckpointError, match="storage 0 is missing"):
        read_torch_state_dict(path)


def test_a_big_endian_file_is_refused(tmp_path):
    path = zip_file(tmp_path / "x.pth", op_dict(), {}, byteorder="big")
    with pytest.raises(CheckpointError, match="little-endian"):
        read_torch_state_dict(path)


def test_a_missing_file_raises_the_usual_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_torch_state_dict(tmp_path / "none.pth")


@pytest.mark.parametrize("kind", ["legacy", "zip"])
def test_files_written_by_torch_load_as_torch_shows_them(tmp_path, kind):
    torch = pytest.importorskip("torch", reason="parity with torch.save needs torch (extra: parity)")
    base = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    tensors = {
        "plain": base,
        "transposed": base.permute(2, 0, 1),
        "sliced": base[1:, ::2, 1:3],
        "expanded": base[:, :1, :1].expand(2, 3, 40),
        "channels_last": torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
        "scalar": torch.tensor(7),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(torch.randn(3, 2)),
        "bf16": torch.randn(5, 3).to(torch.bfloat16).T,
        **{
            str(dtype): torch.tensor([0, 1, 100]).to(dtype)
            for dtype in (torch.float64, torch.float16, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)
        },
    }
    torch.save(tensors, tmp_path / "x.pth", _use_new_zipfile_serialization=kind == "zip")
    read = read_torch_state_dict(tmp_path / "x.pth")
    assert list(read) == list(tensors)
    for name, tensor in tensors.items():
        if name == "bf16":
            assert read[name].dtype == ml_dtypes.bfloat16
            np.testing.assert_array_equal(read[name].astype(np.float32), tensor.float().numpy())
        else:
            np.testing.assert_array_equal(read[name], tensor.detach().numpy(), strict=True)


@pytest.mark.parametrize("kind", ["legacy", "zip"])
def test_a_module_state_dict_written_by_torch_loads(tmp_path, kind):
    torch = pytest.importorskip("torch", reason="parity with torch.save needs torch (extra: parity)")
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    checkpoint = {"epoch": 3, "state_dict": model.state_dict()}
    torch.save(checkpoint, tmp_path / "x.pth", _use_new_zipfile_serialization=kind == "zip")
    read = read_torch_state_dict(tmp_path / "x.pth")
    assert set(read) == set(model.state_dict())
    np.testing.assert_array_equal(read["0.weight"], model.state_dict()["0.weight"].numpy(), strict=True)
