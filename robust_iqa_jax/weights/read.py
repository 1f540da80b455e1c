"""Named tensors from any checkpoint that users have: torch (zip, legacy), safetensors, Flax msgpack, orbax folders.
Nothing in a file is executed; see weights.torch_pickle for torch's."""

import os
import pathlib
from collections.abc import Mapping

import flax.serialization
import flax.traverse_util
import numpy as np
import orbax.checkpoint as ocp
from safetensors import SafetensorError
from safetensors.numpy import load_file

from robust_iqa_jax.weights.torch_pickle import CheckpointError, read_torch_state_dict

_PRUNED, _MASK = "_orig", "_mask"


def read_tensors(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Name -> array of a checkpoint; names of trees joined by "/".

    What torch.nn.utils.prune splits into weight_orig and weight_mask is multiplied to weight; a prefix "module." that
    all names share (torch.nn.DataParallel) is dropped; bfloat16 becomes float32.

    Args:
      path: .safetensors, .msgpack (flax.serialization), a folder of orbax, or a file of torch.save.

    Raises:
      CheckpointError: unreadable, damaged, refused, or without tensors; one line that names the file.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise CheckpointError(f"{path}: no such file")
    try:
        if path.is_dir():
            tensors = _tree(ocp.StandardCheckpointer().restore(path.absolute()))
        elif path.suffix == ".safetensors":
            tensors = load_file(path)
        elif path.suffix == ".msgpack":
            tensors = _tree(flax.serialization.msgpack_restore(path.read_bytes()))
        else:
            tensors = read_torch_state_dict(path)
    except CheckpointError:
        raise
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: damaged, or not what its name says ({' '.join(str(error).split())})") from None
    except Exception as error:  # msgpack and orbax have exceptions of their own for bytes that they cannot read
        raise CheckpointError(f"{path}: damaged, or not what its name says ({type(error).__name__})") from None
    if not tensors:
        raise CheckpointError(f"{path}: holds no tensors")
    return {name: _plain(array) for name, array in _unpruned(_without_prefix(tensors)).items()}


def _tree(tree: object) -> dict[str, np.ndarray]:
    if not isinstance(tree, Mapping):
        raise ValueError(f"holds a {type(tree).__name__}, not a tree of arrays")
    flat = flax.traverse_util.flatten_dict(dict(tree), sep="/")
    return {str(name): np.asarray(leaf) for name, leaf in flat.items()}


def _without_prefix(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    prefix = "module."
    shared = all(name.startswith(prefix) for name in tensors)
    return {name.removeprefix(prefix) if shared else name: array for name, array in tensors.items()}


def _unpruned(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    pruned = [name for name in tensors if name.endswith(_PRUNED) and name.removesuffix(_PRUNED) + _MASK in tensors]
    for name in pruned:
        whole = name.removesuffix(_PRUNED)
        tensors[whole] = tensors.pop(name) * tensors.pop(whole + _MASK)
    return tensors


def _plain(array: np.ndarray) -> np.ndarray:
    kept = array.dtype in (np.float32, np.float64) or not (array.dtype.kind == "f" or array.dtype.name == "bfloat16")
    return array if kept else array.astype(np.float32)
