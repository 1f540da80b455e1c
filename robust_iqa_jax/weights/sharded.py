"""Weights that lie in several files, with an index that says which tensor is where.
Source: huggingface/transformers and huggingface_hub (NAME.safetensors.index.json, pytorch_model.bin.index.json)."""

import json
import os
import pathlib
from collections.abc import Callable, Mapping

import numpy as np

SUFFIX = ".index.json"
_LARGEST_INDEX = 1 << 26


def read_shards(
    index: str | os.PathLike[str], read: Callable[[pathlib.Path], Mapping[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """The tensors that an index lists, from the files beside it.

    Args:
      index: a JSON file {"weight_map": {name of a tensor: name of a file}}.
      read: path of a shard -> its tensors.

    Raises:
      ValueError: not such an index, a shard that is missing or elsewhere, or a tensor that its shard lacks.
    """
    index = pathlib.Path(index)
    if index.stat().st_size > _LARGEST_INDEX:
        raise ValueError(f"an index of {index.stat().st_size} bytes")
    description = json.loads(index.read_text(encoding="utf-8"))
    places = description.get("weight_map") if isinstance(description, dict) else None
    if not (isinstance(places, dict) and places and all(isinstance(file, str) for file in places.values())):
        raise ValueError("no index of shards: it lacks a weight_map from tensors to files")
    tensors: dict[str, np.ndarray] = {}
    for file in sorted(set(places.values())):
        if file in ("", ".", "..") or "/" in file or "\\" in file or "\0" in file:
            raise ValueError(f"its shard {file!r} is not a file beside it")
        if not (index.parent / file).is_file():
            raise ValueError(f"its shard {file} is not beside it; put all shards into one folder")
        found = read(index.parent / file)
        wanted = [name for name, place in places.items() if place == file]
        if lacking := [name for name in wanted if name not in found]:
            raise ValueError(f"its shard {file} lacks {len(lacking)} tensors, first {lacking[0]}")
        tensors.update((name, found[name]) for name in wanted)
    return tensors
