"""Files of torch.save written without PyTorch, from the format in torch/serialization.py."""

import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np


def write_state_dict(path: Path, tensors: Mapping[str, np.ndarray]) -> Path:
    """A dict of float32 tensors."""
    entries = (_text(name) + _tensor(str(key), value) for key, (name, value) in enumerate(tensors.items()))
    return write_pickle(path, b"\x80\x02}(" + b"".join(entries) + b"u.", tensors.values())


def write_pickle(path: Path, pickled: bytes, storages: Iterable[np.ndarray] = ()) -> Path:
    """Any pickle, and the storages "0", "1", ... that it refers to."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        for key, storage in enumerate(storages):
            archive.writestr(f"archive/data/{key}", storage.tobytes())
        archive.writestr("archive/version", "3\n")
    return path


def _tensor(key: str, value: np.ndarray) -> bytes:
    kind = _text("storage") + b"ctorch\nFloatStorage\n" + _text(key) + _text("cpu") + _number(value.size)
    strides = [step // value.itemsize for step in value.strides]
    shape, steps = (b"(" + b"".join(map(_number, axes)) + b"t" for axes in (value.shape, strides))
    arguments = b"((" + kind + b"tQ" + _number(0) + shape + steps + b"\x89ccollections\nOrderedDict\n)Rt"
    return b"ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"R"


def _text(text: str) -> bytes:
    return b"X" + len(text.encode()).to_bytes(4, "little") + text.encode()


def _number(value: int) -> bytes:
    return b"J" + int(value).to_bytes(4, "little")
