"""Reads a PyTorch checkpoint (legacy or zip) into numpy arrays, without torch and without executing its pickle.
Source: the file formats of pytorch/pytorch, torch/serialization.py and torch/_utils.py (PyTorch 0.4 to 2.13)."""

import io
import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_ZIP_MAGIC = b"PK\x03\x04"
_NESTED = ("state_dict", "model", "params")
_DTYPES = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, is refused, or does not fit the model; one line that names the file."""


def read_torch_state_dict(path: str | Path) -> dict[str, np.ndarray]:
    """Read the tensors of a file written by `torch.save`.

    Only tensors, parameters, numpy's numbers and plain Python containers are understood; any other global in the
    pickle is refused before anything is called. Strides and storage offsets are honoured, so views load as torch
    shows them.

    Args:
      path: a legacy (torch < 1.6) or zip checkpoint whose top is a flat mapping from names to tensors. A top that
        holds a mapping under "state_dict" or, failing that, "model" stands for that mapping.

    Returns:
      name -> array in C order, in file order; bfloat16 as `ml_dtypes.bfloat16`. Expanded tensors (more elements than
      their storage) are read-only views.

    Raises:
      CheckpointError: not a torch checkpoint, truncated, a global off the whitelist, a storage that is missing, a
        tensor that reaches outside its storage, or an entry that is not a tensor.
      OSError: the file cannot be opened.
    """
    return read_torch_checkpoint(path)[0]


def read_torch_checkpoint(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The tensors of a file as `read_torch_state_dict` gives them, and the plain values beside the model's mapping.

    Returns:
      tensors, and name -> number, string, or list of such, for the entries of a top that holds the model under a key;
      other entries (an optimizer's state) are left out. Raises as `read_torch_state_dict`.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
        top, storages = _read_zip(data) if data.startswith(_ZIP_MAGIC) else _read_legacy(data)
        tensors = {name: _materialise(name, tensor, storages) for name, tensor in _flat_mapping(top).items()}
        return tensors, {name: value for name, value in top.items() if isinstance(name, str) and _is_plain(value)}
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None


@dataclass(frozen=True)
class _StorageType:
    dtype: np.dtype


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: np.dtype
    size: int


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Unpickler(pickle.Unpickler):
    """Builds descriptions of tensors (legacy files keep the storages after the pickle) and nothing else."""

    def __init__(self, file: io.BytesIO):
        super().__init__(file, encoding="utf-8")
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        # A fresh object at each call: pickle's BUILD may write attributes on whatever it is given.
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: _tensor(storage, offset, shape, strides)
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda tensor, *_: tensor
        if (module, name) in (("numpy.core.multiarray", "scalar"), ("numpy._core.multiarray", "scalar")):
            return _number
        if (module, name) == ("numpy", "dtype"):
            return lambda code, *_: _NumpyType(code)
        if (module, name) == ("_codecs", "encode"):  # how pickle's protocol 2 writes bytes
            return _latin1
        if module in ("torch", "torch.storage") and name in _DTYPES:
            return _StorageType(_DTYPES[name])
        raise CheckpointError(f"refused: its pickle asks for {module}.{name}, which is not part of plain weights")

    def persistent_load(self, pid: Any) -> _Storage:
        if not (isinstance(pid, tuple) and len(pid) in (5, 6) and pid[0] == "storage"):
            raise CheckpointError("not a torch checkpoint, or damaged: a persistent id that is not a storage")
        _, kind, key, _, size = pid[:5]
        if not (isinstance(kind, _StorageType) and isinstance(key, str) and _is_count(size)):
            raise CheckpointError("damaged: a storage without a known type, key and size")
        if len(pid) == 6 and pid[5] is not None:
            raise CheckpointError("refused: storage views of PyTorch before 0.4 are not supported; save the file again")
        storage = self.storages.setdefault(key, _Storage(key, kind.dtype, size))
        if storage != _Storage(key, kind.dtype, size):
            raise CheckpointError(f"damaged: storage {key} is described in two ways")
        return storage


class _NumpyType:
    """Type of a numpy scalar, which training loops leave beside the weights: "f8" and the like, little-endian."""

    def __init__(self, code: Any):
        self.code = code

    def __setstate__(self, state: Any) -> None:
        if not (isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", "|", "=")):
            raise CheckpointError("a numpy number that was not written on a little-endian machine")


def _number(kind: Any, raw: Any) -> Any:
    code = kind.code if isinstance(kind, _NumpyType) else None
    if not (code in ("f4", "f8", "i4", "i8", "b1") and isinstance(raw, bytes) and len(raw) == int(code[1])):
        raise CheckpointError("damaged: a numpy number of an unknown type or size")
    return np.frombuffer(raw, "<" + code)[0].item()


def _latin1(text: Any, encoding: Any) -> bytes:
    if not (isinstance(text, str) and encoding == "latin1"):
        raise CheckpointError("damaged: bytes that are not written as latin1")
    return text.encode("latin1")


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_plain(item) and not isinstance(item, list | tuple) for item in value)
    return isinstance(value, int | float | str)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any) -> _Tensor:
    ok = isinstance(storage, _Storage) and isinstance(shape, tuple) and isinstance(strides, tuple)
    if not (ok and len(shape) == len(strides) and all(map(_is_count, (offset, *shape, *strides)))):
        raise CheckpointError("damaged: a tensor with an invalid storage, shape or stride")
    return _Tensor(storage, offset, shape, strides)


def _load(unpickler: _Unpickler, what: str) -> Any:
    try:
        return unpickler.load()
    except CheckpointError:
        raise
    except Exception as error:  # on arbitrary bytes pickle raises anything from EOFError to MemoryError
        raise CheckpointError(f"not a torch checkpoint, or truncated in its {what} ({type(error).__name__})") from None


def _read_legacy(data: bytes) -> tuple[Any, dict[str, np.ndarray]]:
    """Magic number, protocol, system information, object, storage keys: five pickles; then the raw storages."""
    file = io.BytesIO(data)
    magic = _load(_Unpickler(file), "header")
    if not (type(magic) is int and magic == _LEGACY_MAGIC):
        raise CheckpointError("not a torch checkpoint (neither a zip archive nor the legacy magic number)")
    if _load(_Unpickler(file), "header") != _LEGACY_PROTOCOL:
        raise CheckpointError("a legacy checkpoint of an unknown protocol")
    system = _load(_Unpickler(file), "header")
    if not (isinstance(system, dict) and system.get("little_endian") is True):
        raise CheckpointError("a legacy checkpoint that was not written on a little-endian machine")
    unpickler = _Unpickler(file)
    top = _load(unpickler, "object pickle")
    keys = _load(_Unpickler(file), "storage keys")
    if not (isinstance(keys, list) and all(isinstance(key, str) for key in keys)):
        raise CheckpointError("damaged: its storage keys are not a list of names")
    storages = {}
    position = file.tell()
    for key in keys:
        described = unpickler.storages.get(key)
        if described is None:
            raise CheckpointError(f"damaged: no tensor describes storage {key}")
        start, size = position + 8, int.from_bytes(data[position : position + 8], "little")
        position = start + described.size * described.dtype.itemsize
        if position > len(data):
            raise CheckpointError(f"truncated: storage {key} ends after the file")
        if size != described.size:
            raise CheckpointError(f"damaged: storage {key} holds {size} elements instead of {described.size}")
        storages[key] = np.frombuffer(data, described.dtype, size, start)
    return top, storages


def _read_zip(data: bytes) -> tuple[Any, dict[str, np.ndarray]]:
    """An archive NAME/data.pkl with one uncompressed file NAME/data/KEY a storage."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            roots = [name[: -len("data.pkl")] for name in archive.namelist() if name.split("/")[-1] == "data.pkl"]
            if len(roots) != 1:
                raise CheckpointError("not a torch checkpoint (a zip archive without one data.pkl)")
            if roots[0] + "byteorder" in archive.namelist() and archive.read(roots[0] + "byteorder") != b"little":
                raise CheckpointError("a checkpoint that was not written on a little-endian machine")
            unpickler = _Unpickler(io.BytesIO(archive.read(roots[0] + "data.pkl")))
            top = _load(unpickler, "object pickle")
            read = archive.read
            return top, {k: _zip_storage(read, f"{roots[0]}data/{k}", s) for k, s in unpickler.storages.items()}
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise CheckpointError(f"truncated or damaged zip archive ({error})") from None


def _zip_storage(read: Callable[[str], bytes], name: str, storage: _Storage) -> np.ndarray:
    try:
        raw = read(name)
    except KeyError:
        raise CheckpointError(f"damaged: storage {storage.key} is missing") from None
    if len(raw) != storage.size * storage.dtype.itemsize:
        raise CheckpointError(f"damaged: storage {storage.key} has {len(raw)} bytes, not {storage.size} elements")
    return np.frombuffer(raw, storage.dtype)


def _flat_mapping(top: Any) -> Mapping[str, Any]:
    if isinstance(top, dict):
        top = next((top[key] for key in _NESTED if isinstance(top.get(key), dict)), top)
    if not isinstance(top, dict):
        raise CheckpointError(f"holds a {type(top).__name__}, not a mapping from names to tensors")
    for name, value in top.items():
        if not (isinstance(name, str) and isinstance(value, _Tensor)):
            raise CheckpointError(f"entry {name!r} is not a tensor ({type(value).__name__})")
    return top


def _materialise(name: str, tensor: _Tensor, storages: Mapping[str, np.ndarray]) -> np.ndarray:
    storage = storages.get(tensor.storage.key)
    if storage is None:
        raise CheckpointError(f"damaged: storage {tensor.storage.key} of {name!r} is missing")
    if 0 in tensor.shape:
        return np.zeros(tensor.shape, storage.dtype)
    last = tensor.offset + sum((n - 1) * stride for n, stride in zip(tensor.shape, tensor.strides, strict=True))
    if last >= storage.size:
        raise CheckpointError(f"damaged: {name!r} reaches element {last} of a storage of {storage.size}")
    strides = [stride * storage.itemsize for stride in tensor.strides]
    view = np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, strides, writeable=False)
    # An expanded tensor may claim any number of elements: copying it would let a small file fill the memory.
    return view if math.prod(tensor.shape) > storage.size else view.copy()
