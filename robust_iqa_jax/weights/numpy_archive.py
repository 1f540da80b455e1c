"""Tensors of a NumPy archive (.npz), as JAX models were published before safetensors: names of trees, "opt/target/a/b".
Source: numpy.lib.format; pickled objects are refused."""

import zipfile
from pathlib import Path

import numpy as np

from robust_iqa_jax.weights.tensor_checks import check_declared


def is_numpy_archive(path: Path) -> bool:
    """Whether a file is a zip archive of nothing but arrays."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return False
    return bool(names) and all(name.endswith(".npy") for name in names)


def read_numpy_archive(path: Path) -> dict[str, np.ndarray]:
    """Name -> array, in the order of the file.

    Raises:
      ValueError, zipfile.BadZipFile, EOFError: arrays of objects, damaged ones, or more than the file can hold.
    """
    with zipfile.ZipFile(path) as archive:
        check_declared(sum(entry.file_size for entry in archive.infolist()), path.stat().st_size)
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
