"""LinearityIQA's CLIVEinfo.mat and KonIQ-10kinfo.mat: names, scores and splits in MATLAB's format v7.3 (HDF5).
Source: lidq92/LinearityIQA IQAdataset.py and main.py (train_ratio, train_and_val_ratio)."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from robust_iqa_jax.data.photo_files import LabelTableError, Row, finite_score, labelled_photos
from robust_iqa_jax.data.photo_set import PhotoSet
from robust_iqa_jax.extras import require

VARIABLES = ("index", "ref_ids", "subjective_scores", "im_names")
ENDS = {10_073: (7_058, 8_058)}
"""Number of references -> where training and validation end in a column of index: KonIQ-10k's official split. Other
sets are cut at 0.6 and 0.8."""


def read_info_mat(
    mat_path: str | os.PathLike[str], *, image_dir: str | os.PathLike[str] | None = None, experiment: int = 0
) -> PhotoSet:
    """The photos in the file's order, with groups train, val and test.

    Images are found as `photo_files.labelled_photos` says.

    Args:
      mat_path: with `index` (references x experiments; each column lists them in another order), `ref_ids` and
        `subjective_scores` (1 x n) and `im_names` (1 x n references to UTF-16 names), as h5py shows them.
      image_dir: folder of the images.
      experiment: column of `index` whose first, next and last part are the three groups (exp_id).

    Raises:
      MissingExtra: h5py is not installed.
      LabelTableError: the file is damaged, of another format, or lacks a variable; no such
        experiment; a score that is no finite number; a photo whose reference is not in `index`; images that are
        missing.
    """
    path = Path(mat_path)
    index, reference, scores, names = _variables(path)
    if not 0 <= experiment < index.shape[1]:
        raise LabelTableError(f"{path}: no experiment {experiment}; it has {index.shape[1]}, counted from 0")
    order = index[:, experiment]
    ends = ENDS.get(len(order), (len(order) * 6 // 10, len(order) * 8 // 10))
    groups = dict(
        zip(order.tolist(), np.repeat(["train", "val", "test"], np.diff([0, *ends, len(order)])), strict=True)
    )
    if not len(names) == len(scores) == len(reference):
        raise LabelTableError(f"{path}: {len(names)} names, {len(scores)} scores and {len(reference)} references")
    rows = []
    for line, (name, score, source) in enumerate(zip(names, scores, reference.tolist(), strict=True), start=1):
        if source not in groups:
            raise LabelTableError(f"{path}, photo {line}: its reference {source:g} is not in index")
        rows.append(Row(line, name, finite_score(path, line, "subjective_scores", score), str(groups[source])))
    return labelled_photos(path, rows, None if image_dir is None else Path(image_dir))


def _variables(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """(index, ref_ids, subjective_scores, im_names), all but the first as vectors."""
    require(str(path), "h5py")
    import h5py

    try:
        with h5py.File(path, "r") as opened:
            file: Any = opened  # untyped: whatever has the name, a dataset or a group
            if missing := [name for name in VARIABLES if name not in file]:
                raise LabelTableError(f"{path}: has no variable {missing[0]}; give LinearityIQA's info file")
            index, reference, scores, pointers = (file[name][()] for name in VARIABLES)
            names = [file[pointer][()].astype("<u2").tobytes().decode("utf-16-le") for pointer in np.ravel(pointers)]
    except LabelTableError:
        raise
    except Exception as error:  # h5py raises whatever a damaged or foreign file makes it stumble over
        raise LabelTableError(
            f"{path}: not an info file in MATLAB's format v7.3 ({error}); download it again, or give a CSV table"
        ) from error
    return index, np.ravel(reference), np.ravel(scores), names
