"""KADID-10k: 10,125 pictures, 81 references under 25 distortions at 5 levels, with scores 1..5, higher is better.
Source: Lin, Hosu and Saupe 2019 (QoMEX); despite the column's name "dmos" its scores rise with quality."""

from pathlib import Path

from robust_iqa_jax.data.label_table import read_label_table
from robust_iqa_jax.data.photo_set import PhotoSet

SCORES = "dmos.csv"
IMAGES = "images"


def read_kadid10k(folder: Path) -> PhotoSet:
    """The distorted pictures; groups "0".."4" are folds by reference.

    Args:
      folder: with SCORES (dist_img, ref_img, dmos, var) and IMAGES.

    Raises:
      LabelTableError: a file or pictures are missing or damaged.
    """
    return read_label_table(
        folder / SCORES, image_dir=folder / IMAGES, score_column="dmos", group_column="ref_img"
    ).in_folds()
