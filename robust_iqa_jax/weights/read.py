"""Named tensors from any checkpoint that users have: torch (zip, legacy), safetensors, npz, Flax msgpack, orbax.
Nothing in a file is executed; see weights.torch_pickle for torch's."""

import math
import os
import pathlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import flax.serialization
import flax.traverse_util
import jax
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from robust_iqa_jax.checks import unknown
from robust_iqa_jax.setting_error import marked, setting
from robust_iqa_jax.weights.entries import under_prefix
from robust_iqa_jax.weights.file_kind import other_kind
from robust_iqa_jax.weights.numpy_archive import is_numpy_archive, read_numpy_archive
from robust_iqa_jax.weights.sharded import SUFFIX, read_shards
from robust_iqa_jax.weights.state_dict import with_masks_applied, without_prefixes
from robust_iqa_jax.weights.tensor_checks import check_declared
from robust_iqa_jax.weights.torch_pickle import CheckpointError, read_torch_file

OURS = ("model.json", "model.safetensors")
"""Files of a checkpoint of models.checkpoint, which needs no conversion."""
_IN_FOLDERS = ("model.safetensors.index.json", "model.safetensors", "pytorch_model.bin.index.json", "pytorch_model.bin")
"""Weights in folders as Hugging Face has them, the first that there is."""
_FILES = (".pth", ".pt", ".ckpt", ".safetensors", ".msgpack", ".npz")
_ORBAX = ("_METADATA", "_CHECKPOINT_METADATA", "_sharding", "manifest.ocdbt", "checkpoint", "default")


@dataclass(frozen=True)
class ReadCheckpoint:
    """What a checkpoint holds.

    Attributes:
      tensors: name -> array; names of trees: "a/b/c". What torch.nn.utils.prune splits into weight_orig and weight_mask
        is multiplied to weight; "module." of DataParallel and "_orig_mod." of torch.compile are dropped; half
        precision is float32.
      facts: plain values that a torch file has beside the weights.
      entry: name of the part of the file that the tensors are of; "" for the whole of it.
      others: names of other parts with the same tensors, of averaged weights, say.
      left_out: what stood among the tensors and is none.
    """

    tensors: dict[str, np.ndarray]
    facts: dict[str, Any] = field(default_factory=dict)
    entry: str = ""
    others: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def read_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The tensors and the facts of `read_checkpoint`."""
    found = read_checkpoint(path)
    return found.tensors, found.facts


def read_checkpoint(path: str | os.PathLike[str], entry: str = "") -> ReadCheckpoint:
    """Read a checkpoint; its format is told by its content where that says it.

    Args:
      path: a file of safetensors, of flax.serialization (.msgpack), of numpy.savez (.npz) or of torch.save; an index of
        shards (.index.json); a folder of orbax, or one of Hugging Face with such a file.
      entry: which part of the file to take, see weights.entries.find_entry; "" for the usual one.

    Raises:
      CheckpointError: unreadable, damaged, refused, of another kind, a checkpoint of ours, or without tensors; one line
        that names the file.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise CheckpointError(f"{path}: no such file")
    try:
        found = _read_folder(path, entry) if path.is_dir() else _read_file(path, entry)
        named = with_masks_applied(without_prefixes(found.tensors, ("module.",)))
        tensors = {name: _plain(array) for name, array in named.items()}
    except CheckpointError:
        raise
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path}: damaged, or not what its name says ({' '.join(marked(error).split())})"
        ) from None
    except Exception as error:  # msgpack and orbax have exceptions of their own for bytes that they cannot read
        raise CheckpointError(f"{path}: damaged, or not what its name says ({type(error).__name__})") from None
    if not tensors:
        raise CheckpointError(f"{path}: holds no tensors")
    return ReadCheckpoint(tensors, found.facts, found.entry, found.others, found.left_out)


def _read_file(path: pathlib.Path, entry: str) -> ReadCheckpoint:
    if not path.is_file():
        raise CheckpointError(f"{path}: not a regular file")
    if path.name.endswith(SUFFIX):
        return _part(read_shards(path, lambda shard: _read_file(shard, "").tensors), entry)
    if kind := other_kind(path):
        raise CheckpointError(f"{path}: not a checkpoint but {kind}")
    with path.open("rb") as file:
        head = file.read(9)
    is_torch = head.startswith((b"PK\x03\x04", b"\x80"))  # a zip archive, a pickle; a map of msgpack is not empty
    is_safetensors = head[8:] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size
    if is_safetensors or (path.suffix == ".safetensors" and not is_torch):
        return _part(load_file(path), entry)
    if path.suffix == ".msgpack" and not is_torch:
        return _part(_tree(flax.serialization.msgpack_restore(path.read_bytes()), path.stat().st_size), entry)
    if is_torch and is_numpy_archive(path):
        return _part(read_numpy_archive(path), entry)
    found = read_torch_file(path, entry)
    return ReadCheckpoint(found.tensors, found.values, found.entry, found.others, found.left_out)


def _read_folder(path: pathlib.Path, entry: str) -> ReadCheckpoint:
    names = {file.name for file in path.iterdir()}
    if ours := _ours(path):
        raise CheckpointError(
            f"{path}: is a checkpoint of riqa already; there is nothing to convert: use {setting('checkpoint')} {ours}"
        )
    if files := [name for name in _IN_FOLDERS if name in names]:
        return _read_file(path / files[0], entry)
    if "config.json" in names:
        raise CheckpointError(
            f"{path}: a folder of Hugging Face without {' or '.join(_IN_FOLDERS[1::2])}; add its weights"
        )
    if "saved_model.pb" in names:
        raise CheckpointError(
            f"{path}: a SavedModel of TensorFlow; give weights of PyTorch, safetensors, Flax or orbax"
        )
    if not names & set(_ORBAX):
        files = sorted(name for name in names if name.endswith(_FILES))
        cure = f"give one of its files, such as {path / files[0]}" if files else "give the file of the weights"
        raise ValueError(f"a folder that orbax did not write; {cure}")
    on_disk = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    import orbax.checkpoint as ocp  # takes seconds, and few need it

    with ocp.StandardCheckpointer() as checkpointer:
        leaves = jax.tree.leaves(checkpointer.metadata(path.absolute()).item_metadata)
        check_declared(sum(math.prod(leaf.shape) * 4 for leaf in leaves if hasattr(leaf, "shape")), on_disk)
        return _part(_tree(checkpointer.restore(path.absolute()), on_disk), entry)


def _ours(path: pathlib.Path) -> str:
    """The checkpoint of ours that a folder is or holds, "" for none: itself, its `model`, or that of a quickstart."""
    inside = (path, path / "model", *sorted(part for part in path.iterdir() if part.is_dir()))
    return next((str(part) for part in inside if all((part / name).is_file() for name in OURS)), "")


def _part(tensors: Mapping[str, np.ndarray], entry: str) -> ReadCheckpoint:
    """All of a file that has no entries of its own, or what is under a prefix."""
    if not entry:
        return ReadCheckpoint(dict(tensors))
    if part := under_prefix(tensors, entry):
        return ReadCheckpoint(part, entry=entry)
    raise ValueError(unknown("entry", entry, sorted({name.replace("/", ".").split(".")[0] for name in tensors})))


def _tree(tree: object, on_disk: int) -> dict[str, np.ndarray]:
    if not isinstance(tree, Mapping):
        raise ValueError(f"holds a {type(tree).__name__}, not a tree of arrays")
    flat = flax.traverse_util.flatten_dict(dict(tree), sep="/")
    arrays = {str(name): np.asarray(leaf) for name, leaf in flat.items()}
    check_declared(sum(array.nbytes for array in arrays.values()), on_disk)
    return arrays


def _plain(array: np.ndarray) -> np.ndarray:
    kept = array.dtype in (np.float32, np.float64) or not (array.dtype.kind == "f" or array.dtype.name == "bfloat16")
    return array if kept else array.astype(np.float32)
