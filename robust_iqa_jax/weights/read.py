"""Named tensors from any checkpoint that users have: torch (zip, legacy), safetensors, Flax msgpack, orbax folders.
Nothing in a file is executed; see weights.torch_pickle for torch's."""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import flax.serialization
import flax.traverse_util
import numpy as np
import orbax.checkpoint as ocp
from safetensors import SafetensorError
from safetensors.numpy import load_file

from robust_iqa_jax.weights.state_dict import with_masks_applied, without_prefixes
from robust_iqa_jax.weights.torch_pickle import CheckpointError, read_torch_checkpoint


def read_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Name -> array of a checkpoint, and the plain values that a torch file has beside them. Names of trees: "a/b/c".

    What torch.nn.utils.prune splits into weight_orig and weight_mask is multiplied to weight; a prefix "module." of
    torch.nn.DataParallel is dropped; bfloat16 becomes float32.

    Args:
      path: .safetensors, .msgpack (flax.serialization), a folder of orbax, or a file of torch.save.

    Raises:
      CheckpointError: unreadable, damaged, refused, or without tensors; one line that names the file.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise CheckpointError(f"{path}: no such file")
    facts: dict[str, Any] = {}
    try:
        if path.is_dir():
            tensors = _tree(ocp.StandardCheckpointer().restore(path.absolute()))
        elif path.suffix == ".safetensors":
            tensors = load_file(path)
        elif path.suffix == ".msgpack":
            tensors = _tree(flax.serialization.msgpack_restore(path.read_bytes()))
        else:
            tensors, facts = read_torch_checkpoint(path)
    except CheckpointError:
        raise
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: damaged, or not what its name says ({' '.join(str(error).split())})") from None
    except Exception as error:  # msgpack and orbax have exceptions of their own for bytes that they cannot read
        raise CheckpointError(f"{path}: damaged, or not what its name says ({type(error).__name__})") from None
    if not tensors:
        raise CheckpointError(f"{path}: holds no tensors")
    named = with_masks_applied(without_prefixes(tensors, ("module.",)))
    return {name: _plain(array) for name, array in named.items()}, facts


def _tree(tree: object) -> dict[str, np.ndarray]:
    if not isinstance(tree, Mapping):
        raise ValueError(f"holds a {type(tree).__name__}, not a tree of arrays")
    flat = flax.traverse_util.flatten_dict(dict(tree), sep="/")
    return {str(name): np.asarray(leaf) for name, leaf in flat.items()}


def _plain(array: np.ndarray) -> np.ndarray:
    kept = array.dtype in (np.float32, np.float64) or not (array.dtype.kind == "f" or array.dtype.name == "bfloat16")
    return array if kept else array.astype(np.float32)
