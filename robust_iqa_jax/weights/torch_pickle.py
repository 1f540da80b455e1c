"""Reads a PyTorch checkpoint (legacy or zip) into numpy arrays, without torch and without executing its pickle.
Source: the file formats of pytorch/pytorch, torch/serialization.py and torch/_utils.py (PyTorch 0.4 to 2.13)."""

import math
import mmap
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from robust_iqa_jax.setting_error import SettingError, marked
from robust_iqa_jax.weights.entries import Entry, find_entry
from robust_iqa_jax.weights.file_kind import other_kind, other_zip
from robust_iqa_jax.weights.inert_pickle import Filled, Global, Makers, Reader, Unread, read_pickle
from robust_iqa_jax.weights.tensor_checks import check_declared

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_ZIP_MAGIC = b"PK\x03\x04"
_FEW = 8
"""Elements of a tensor beside the weights that is read as a value."""
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


class CheckpointError(SettingError):
    """A checkpoint that cannot be read, is refused, or does not fit the model; one line that names the file."""


@dataclass(frozen=True)
class TorchFile:
    """What a file of torch.save holds.

    Attributes:
      tensors: name -> array in C order, in file order; bfloat16 as `ml_dtypes.bfloat16`. Read-only where they share the
        file's memory.
      values: name -> number, string, or list of such, beside the weights; tensors of a few elements are among them.
      entry: path of the mapping that the tensors are of; "" for the file's top.
      others: paths of mappings with the same names, of averaged weights, say.
      left_out: names in the mapping that are not tensors, with what they are: "cfg (argparse.Namespace)".
    """

    tensors: dict[str, np.ndarray]
    values: dict[str, Any]
    entry: str = ""
    others: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def read_torch_state_dict(path: str | Path) -> dict[str, np.ndarray]:
    """The tensors of a file written by `torch.save`; see `read_torch_file`."""
    return read_torch_file(path).tensors


def read_torch_checkpoint(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The tensors of a file, and the plain values beside them; see `read_torch_file`."""
    found = read_torch_file(path)
    return found.tensors, found.values


def read_torch_file(path: str | Path, entry: str = "") -> TorchFile:
    """Read a file written by `torch.save`.

    Only tensors, parameters, numpy's numbers and arrays and plain Python containers are understood; whatever else the
    pickle names is neither looked up nor called, and left out. Strides and storage offsets are honoured, so views load
    as torch shows them. Expanded tensors (more elements than their storage) are read-only views.

    Args:
      path: a legacy (torch < 1.6) or zip checkpoint whose top is a mapping from names to tensors, or holds one.
      entry: see weights.entries.find_entry.

    Raises:
      CheckpointError: not a torch checkpoint (with what it is instead), truncated, a whole pickled module, nothing but
        objects that are not weights, a storage that is missing, a tensor that reaches outside its storage, more
        declared than the file can hold, or no such entry.
      OSError: the file cannot be opened.
    """
    path = Path(path)
    try:
        if kind := other_kind(path):
            raise CheckpointError(f"not a torch checkpoint but {kind}")
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # closed with the last array that views it
            top, storages = _read_zip(file) if data[:4] == _ZIP_MAGIC else _read_legacy(memoryview(data))
        return _taken(top, storages, entry, path.stat().st_size)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {marked(error)}") from None
    except ValueError as error:
        raise CheckpointError(f"{path}: damaged, or not to be read: {marked(error)}") from None


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

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class _Text:
    """Bytes that pickle's protocol 2 wrote as text; turned back only where they are needed."""

    text: str

    def __bytes__(self) -> bytes:
        return self.text.encode("latin1")


class _NumpyType(Filled):
    """Type of numpy's scalars and arrays, which training loops leave beside the weights: "f8" and the like."""

    def __init__(self, code: Any, *_: Any):
        self.code, self.order = code, "="

    def filled(self, state: Any) -> None:
        self.order = state[1] if isinstance(state, tuple) and len(state) > 1 else "?"

    @property
    def dtype(self) -> np.dtype | None:
        """None for text, objects and records."""
        known = isinstance(self.code, str) and self.code[:1] in "fiub" and self.code[1:] in ("1", "2", "4", "8")
        return np.dtype(self.code).newbyteorder(">" if self.order == ">" else "<") if known else None


class _NumpyArray(Filled):
    """An array of numpy, as large as it says only once it is looked at."""

    def __init__(self, *_: Any):
        self.shape: tuple[int, ...] = ()
        self.dtype: np.dtype | None = None
        self.fortran, self.raw = False, b""

    def filled(self, state: Any) -> None:
        _, shape, kind, fortran, raw = state
        if isinstance(raw, str):
            raw = _Text(raw)
        if isinstance(kind, _NumpyType) and isinstance(raw, bytes | bytearray | _Text) and all(map(_is_count, shape)):
            self.shape, self.dtype, self.fortran, self.raw = tuple(shape), kind.dtype, bool(fortran), raw

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def array(self) -> np.ndarray:
        assert self.dtype is not None
        raw = bytes(self.raw)
        if len(raw) != self.size * self.dtype.itemsize:
            raise CheckpointError(f"damaged: an array of {self.size} elements in {len(raw)} bytes")
        array = np.frombuffer(raw, self.dtype).reshape(self.shape, order="F" if self.fortran else "C")
        return array.astype(self.dtype.newbyteorder("="), order="C")


def _number(kind: Any, raw: Any = b"") -> Any:
    if not isinstance(kind, _NumpyType) or kind.code[:1] == "O":
        raise CheckpointError("damaged: a numpy number of an unknown type or size")
    if kind.order not in ("<", "|", "="):
        raise CheckpointError("a numpy number that was not written on a little-endian machine")
    if kind.dtype is None:
        return Unread(f"numpy.{kind.code}")
    raw = bytes(raw) if isinstance(raw, bytes | _Text) else b""
    if len(raw) != kind.dtype.itemsize:
        raise CheckpointError("damaged: a numpy number of an unknown type or size")
    return np.frombuffer(raw, kind.dtype)[0].item()


def _latin1(text: Any, encoding: Any) -> _Text:
    if not (isinstance(text, str) and encoding == "latin1"):
        raise CheckpointError("damaged: bytes that are not written as latin1")
    return _Text(text)


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Any:
    if isinstance(storage, Unread):
        return storage
    ok = isinstance(storage, _Storage) and isinstance(shape, tuple) and isinstance(strides, tuple)
    if not (ok and len(shape) == len(strides) and all(map(_is_count, (offset, *shape, *strides)))):
        raise CheckpointError("damaged: a tensor with an invalid storage, shape or stride")
    return _Tensor(storage, offset, shape, strides)


def _of_subclass(rebuild: Any, kind: Any, arguments: Any, *_: Any) -> Any:
    """A tensor with attributes, or of a subclass."""
    known = isinstance(rebuild, Global) and (rebuild.module, rebuild.name) in _TENSORS
    return _MAKERS[(rebuild.module, rebuild.name)](*arguments) if known else Unread(str(kind))


_TENSORS: Makers = {
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
    ("torch._utils", "_rebuild_parameter_with_state"): lambda tensor, *_: tensor,
}
_MAKERS: Makers = {
    **_TENSORS,
    ("torch._tensor", "_rebuild_from_type_v2"): _of_subclass,
    ("collections", "OrderedDict"): lambda *items: OrderedDict(),
    ("collections", "defaultdict"): lambda *items: {},
    ("numpy", "dtype"): _NumpyType,
    ("_codecs", "encode"): _latin1,  # how pickle's protocol 2 writes bytes
    **{(f"numpy.{core}.multiarray", "scalar"): _number for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _NumpyArray for core in ("core", "_core")},
}


class _Storages:
    """What the persistent ids of a pickle describe; legacy files keep the storages behind it."""

    def __init__(self) -> None:
        self.described: dict[str, _Storage] = {}

    def find(self, pid: Any) -> Any:
        if isinstance(pid, tuple) and pid[:1] == ("module",):
            return pid[1]  # the class of a whole module, with its source, in legacy files
        if not (isinstance(pid, tuple) and len(pid) in (5, 6) and pid[0] == "storage"):
            raise CheckpointError("not a torch checkpoint, or damaged: a persistent id that is not a storage")
        _, kind, key, _, size, *view = pid
        if not (isinstance(kind, Global) and isinstance(key, str) and _is_count(size)):
            raise CheckpointError("damaged: a storage without a known type, key and size")
        if view and view[0] is not None:
            raise CheckpointError("refused: storage views of PyTorch before 0.4 are not supported; save the file again")
        if kind.module not in ("torch", "torch.storage") or kind.name not in _DTYPES:
            return Unread(str(kind))
        storage = self.described.setdefault(key, _Storage(key, _DTYPES[kind.name], size))
        if storage != _Storage(key, _DTYPES[kind.name], size):
            raise CheckpointError(f"damaged: storage {key} is described in two ways")
        return storage


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_plain(item) and not isinstance(item, list | tuple) for item in value)
    return isinstance(value, int | float | str)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 62


def _is_tensor(value: Any) -> bool:
    return isinstance(value, _Tensor) or (isinstance(value, _NumpyArray) and value.dtype is not None)


def _load(reader: Reader, storages: _Storages, what: str) -> Any:
    try:
        return read_pickle(reader, _MAKERS, storages.find)
    except CheckpointError:
        raise
    except (ValueError, LookupError, TypeError, ArithmeticError, AttributeError, AssertionError) as error:
        raise CheckpointError(f"not a torch checkpoint, or truncated in its {what} ({type(error).__name__})") from None


def _read_legacy(data: memoryview) -> tuple[Any, dict[str, np.ndarray]]:
    """Magic number, protocol, system information, object, storage keys: five pickles; then the raw storages."""
    reader, none, storages = Reader(data), _Storages(), _Storages()
    magic = _load(reader, none, "header")
    if isinstance(magic, Unread):
        raise CheckpointError(_refused(magic))
    if not (type(magic) is int and magic == _LEGACY_MAGIC):
        raise CheckpointError("not a torch checkpoint (neither a zip archive nor the legacy magic number)")
    protocol, system = _load(reader, none, "header"), None
    if protocol == _LEGACY_PROTOCOL:
        system = _load(reader, none, "header")
    for part in (protocol, system):
        if isinstance(part, Unread):
            raise CheckpointError(_refused(part))
    if protocol != _LEGACY_PROTOCOL:
        raise CheckpointError("a legacy checkpoint of an unknown protocol")
    if not (isinstance(system, dict) and system.get("little_endian") is True):
        raise CheckpointError("a legacy checkpoint that was not written on a little-endian machine")
    top = _load(reader, storages, "object pickle")
    keys = _load(reader, none, "storage keys")
    if not (isinstance(keys, list) and all(isinstance(key, str) for key in keys)):
        raise CheckpointError("damaged: its storage keys are not a list of names")
    arrays = {}
    position = reader.position
    for key in keys:
        described = storages.described.get(key)
        if described is None:
            raise CheckpointError(f"damaged: no tensor describes storage {key}")
        start, size = position + 8, int.from_bytes(data[position : position + 8], "little")
        position = start + described.size * described.dtype.itemsize
        if position > len(data):
            raise CheckpointError(f"truncated: storage {key} ends after the file")
        if size != described.size:
            raise CheckpointError(f"damaged: storage {key} holds {size} elements instead of {described.size}")
        arrays[key] = np.frombuffer(data, described.dtype, size, start)
    return top, arrays


def _read_zip(file: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """An archive NAME/data.pkl with one uncompressed file NAME/data/KEY a storage."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            roots = [name[: -len("data.pkl")] for name in names if name.split("/")[-1] == "data.pkl"]
            if len(roots) != 1 or roots[0] + "constants.pkl" in names:
                raise CheckpointError(f"not a torch checkpoint but {other_zip(names)}")
            on_disk = file.seek(0, 2)
            check_declared(sum(info.file_size for info in archive.infolist()), on_disk)
            if roots[0] + "byteorder" in names and archive.read(roots[0] + "byteorder") != b"little":
                raise CheckpointError("a checkpoint that was not written on a little-endian machine")
            storages = _Storages()
            top = _load(Reader(memoryview(archive.read(roots[0] + "data.pkl"))), storages, "object pickle")
            read = archive.read
            return top, {k: _zip_storage(read, f"{roots[0]}data/{k}", s) for k, s in storages.described.items()}
    except CheckpointError:
        raise
    except Exception as error:  # zipfile and zlib raise anything from BadZipFile to struct.error on arbitrary bytes
        raise CheckpointError(f"truncated or damaged zip archive ({' '.join(str(error).split())})") from None


def _zip_storage(read: Callable[[str], bytes], name: str, storage: _Storage) -> np.ndarray:
    try:
        raw = read(name)
    except KeyError:
        raise CheckpointError(f"damaged: storage {storage.key} is missing") from None
    if len(raw) != storage.size * storage.dtype.itemsize:
        raise CheckpointError(f"damaged: storage {storage.key} has {len(raw)} bytes, not {storage.size} elements")
    return np.frombuffer(raw, storage.dtype)


def _taken(top: Any, storages: Mapping[str, np.ndarray], wanted: str, on_disk: int) -> TorchFile:
    found = _weights(top, wanted)
    chosen = {name: value for name, value in found.values.items() if _is_tensor(value)}
    check_declared(sum(value.size * _dtype(value).itemsize for value in chosen.values()), on_disk)
    tensors = {name: _materialise(name, value, storages) for name, value in chosen.items()}
    left_out = tuple(
        f"{name} ({_kind(v)})" for name, v in found.values.items() if name not in tensors and v is not None
    )
    beside = {} if found.values is top else {name: v for name, v in top.items() if isinstance(name, str)}
    values = {name: _value(name, value, storages) for name, value in beside.items()}
    kept = {name: value for name, value in values.items() if _is_plain(value)}
    return TorchFile(tensors, kept, found.name, found.others, left_out)


def _weights(top: Any, wanted: str) -> Entry:
    """The mapping that holds the weights, or the reason why there is none."""
    if not isinstance(top, dict):
        raise CheckpointError(_refused(top) if isinstance(top, Unread) else f"holds {_kind(top)}, not named tensors")
    found = find_entry(top, _is_tensor, wanted)
    if found is not None:
        return found
    inner = [value for value in top.values() if isinstance(value, dict)]
    for name, value in (item for values in (top, *inner) for item in values.items()):
        if isinstance(value, Unread):
            raise CheckpointError(_refused(value, f"its entry {name!r}"))
    for name, value in top.items():
        raise CheckpointError(f"entry {name!r} is not a tensor ({_kind(value)})")
    return Entry("", top)


def _refused(value: Unread, what: str = "it") -> str:
    if value.is_module:
        return (
            f"refused: {what} is a whole pickled module ({value.origin}), which only its own code can read; load it "
            "there and save its weights: torch.save(model.state_dict(), FILE)"
        )
    return f"refused: its pickle asks for {value.origin}, which is not part of plain weights"


def _kind(value: Any) -> str:
    return (
        value.origin if isinstance(value, Unread) else str(value) if isinstance(value, Global) else type(value).__name__
    )


def _dtype(tensor: Any) -> np.dtype:
    return tensor.storage.dtype if isinstance(tensor, _Tensor) else tensor.dtype


def _value(name: str, value: Any, storages: Mapping[str, np.ndarray]) -> Any:
    """A small tensor, or a list with some in it, as numbers; all else as it is."""
    if isinstance(value, list | tuple):
        return [_value(name, v, storages) if _is_tensor(v) and v.size == 1 else v for v in value[: 1 << 12]]
    if _is_tensor(value) and value.size <= _FEW:
        return _materialise(name, value, storages).tolist()
    return value


def _materialise(name: str, tensor: Any, storages: Mapping[str, np.ndarray]) -> np.ndarray:
    if isinstance(tensor, _NumpyArray):
        return tensor.array()
    storage = storages.get(tensor.storage.key)
    if storage is None:
        raise CheckpointError(f"damaged: storage {tensor.storage.key} of {name!r} is missing")
    if len(tensor.shape) > 32:
        raise CheckpointError(f"damaged: {name!r} has {len(tensor.shape)} axes")
    if 0 in tensor.shape:
        return np.zeros(tensor.shape, storage.dtype)
    last = tensor.offset + sum((n - 1) * stride for n, stride in zip(tensor.shape, tensor.strides, strict=True))
    if last >= storage.size:
        raise CheckpointError(f"damaged: {name!r} reaches element {last} of a storage of {storage.size}")
    strides = [stride * storage.itemsize for stride in tensor.strides]
    view = np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, strides, writeable=False)
    # An expanded tensor may claim any number of elements: copying it would let a small file fill the memory.
    return view if tensor.size > storage.size else view.copy()
