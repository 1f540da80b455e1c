"""BIQ2021: 12,000 photos of 512 x 512, eleven smaller ones aside, in three subsets, with mean opinion scores 0..1.
Source: Ahmed and Asif 2022 (Journal of Electronic Imaging 31(5)); nisarahmedrana/BIQ2021."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from robust_iqa_jax.data.label_table import read_label_table
from robust_iqa_jax.data.photo_files import LabelTableError, Row, labelled_photos
from robust_iqa_jax.data.photo_set import PhotoSet

VALIDATION = 10
"""Every tenth row of the table of training, from the first, is of the group "validation"; the split is ours."""
FIRST_LINE = 2
TABLES = {"train": "Train (Images and MOS).csv", "test": "Test (Images and MOS).csv"}
IMAGES = "Images"
SPLITS = {"train": 9_000, "validation": 1_000, "test": 2_000}
SUBSETS = ("ss01", "ss02", "ss03")
"""First letters of the names: the owner's gallery, photos taken for quality rating, photos of Unsplash. Their mean
scores are 42, 49 and 74 of 100, so a correlation over all is partly one between subsets."""
SCALE = 100
"""Scores are given as 0..100 like those of other sets, not as the tables' 0..1."""


def read_biq2021(folder: Path) -> PhotoSet:
    """The set with its official group "test", and the other 10,000 as "train" and "validation".

    `subsets` has SUBSETS, scores are MOS times SCALE.

    Args:
      folder: with TABLES ("Image Name", "MOS"; the one of training has two empty columns more) and IMAGES. One name is
        of another case than its file.

    Raises:
      LabelTableError: a file or photos are missing or damaged, a score outside 0..1, a name of no subset.
    """
    photos = labelled_photos(folder, _rows(folder), folder / IMAGES)
    return replace(photos, subsets=tuple(name[:4] for name in photos.names))


def _rows(folder: Path) -> Iterator[Row]:
    for group, table in TABLES.items():
        part = read_label_table(folder / table, image_dir=folder / IMAGES, score_column="MOS")
        for line, (name, score) in enumerate(zip(part.names, part.scores.tolist(), strict=True), start=FIRST_LINE):
            if not 0 <= score <= 1:
                raise LabelTableError(f"{folder / table}, line {line}: 'MOS' is {score:g}, not in 0..1")
            if not name.startswith(SUBSETS):
                raise LabelTableError(
                    f"{folder / table}, line {line}: {name!r} starts with none of {', '.join(SUBSETS)}"
                )
            validates = group == "train" and (line - FIRST_LINE) % VALIDATION == 0
            yield Row(line, name, SCALE * score, "validation" if validates else group)
