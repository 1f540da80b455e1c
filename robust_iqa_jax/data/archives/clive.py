"""LIVE In the Wild (CLIVE): 1,162 photos of mobile cameras with mean opinion scores 0..100.
Source: Ghadiyaram and Bovik, arXiv 1511.02919, and the readme of its archive ChallengeDB_release."""

from pathlib import Path
from typing import Any

import numpy as np

from robust_iqa_jax.data.photo_files import LabelTableError, Row, finite_score, labelled_photos
from robust_iqa_jax.data.photo_set import PhotoSet

NAMES = "Data/AllImages_release.mat"
SCORES = "Data/AllMOS_release.mat"
IMAGES = "Images"
TRAINING = 7
"""The first rows were shown to train the people who judged; they are not part of the set."""
SAME = {"333": "246"}
"""Stems of identical photos."""


def read_clive(folder: Path) -> PhotoSet:
    """The set, which has no official split; groups "0".."4" are folds, identical photos share one.

    Args:
      folder: with NAMES, SCORES and IMAGES.

    Raises:
      LabelTableError: a file or photos are missing or damaged.
    """
    names = [str(np.ravel(cell)[0]) for cell in _variable(folder / NAMES)]
    scores = _variable(folder / SCORES)
    if len(names) != len(scores):
        raise LabelTableError(f"{folder}: {len(names)} names in {NAMES}, {len(scores)} scores in {SCORES}")
    rows = [
        Row(i, name, finite_score(folder / SCORES, i, "MOS", score), SAME.get(Path(name).stem, Path(name).stem))
        for i, (name, score) in enumerate(zip(names, scores, strict=True), start=1)
    ]
    return labelled_photos(folder / NAMES, rows[TRAINING:], folder / IMAGES).in_folds()


def _variable(path: Path) -> np.ndarray:
    """The variable that is called like its file, as a vector."""
    import scipy.io

    try:
        contents: dict[str, Any] = scipy.io.loadmat(path)
    except Exception as error:  # scipy raises whatever a damaged file makes it stumble over
        raise LabelTableError(f"{path}: not a readable MATLAB file ({error}); unpack the archive again") from error
    if path.stem not in contents:
        raise LabelTableError(f"{path}: has no variable {path.stem}; unpack the archive again")
    return np.ravel(contents[path.stem])
