"""KonIQ-10k: 10,073 photos from the web with mean opinion scores 1..100 and the owners' split.
Sources: Hosu et al., arXiv 1910.06180; subpic/koniq (metadata/); the folders of wianluna/metrics_at (koniq10k.py)."""

from dataclasses import replace
from pathlib import Path

from robust_iqa_jax.data.info_mat import read_info_mat
from robust_iqa_jax.data.label_table import read_label_table
from robust_iqa_jax.data.photo_files import LabelTableError, Row, labelled_photos
from robust_iqa_jax.data.photo_set import PhotoSet

SETS = "koniq10k_distributions_sets.csv"
SCORES = "koniq10k_scores_and_distributions.csv"
INFO = "KonIQ-10kinfo.mat"
METADATA = "1024x768/metadata.csv"
SIZES = ("1024x768", "512x384")
SPLITS = {"training": 7_058, "validation": 1_000, "test": 2_015}
FOLDERS = {"train": "training", "val": "validation", "test": "test"}
"""What metrics_at and INFO call the splits."""


def read_koniq10k(folder: Path) -> PhotoSet:
    """The set with its official groups: training, validation, test.

    Labels are the z-scored ones, 3.9..88.4: MOS in SETS, MOS_zscore in SCORES, subjective_scores in INFO. SCORES alone
    has no split.

    Args:
      folder: with SETS, or LinearityIQA's INFO, and the photos in one of the folders SIZES.

    Raises:
      LabelTableError: a file or photos are missing or damaged, or both sizes are there.
    """
    photos = [folder / size for size in SIZES if (folder / size).is_dir()]
    if not photos:
        raise LabelTableError(f"{folder}: no photos of KonIQ-10k; unpack {SIZES[0]}/ or {SIZES[1]}/ there")
    if len(photos) > 1:
        raise LabelTableError(f"{folder}: both {SIZES[0]}/ and {SIZES[1]}/ are there; leave the one that is to be read")
    if (folder / SETS).is_file():
        return read_label_table(folder / SETS, image_dir=photos[0], score_column="MOS", group_column="set")
    if (folder / INFO).is_file():
        info = read_info_mat(folder / INFO, image_dir=photos[0])
        return replace(info, groups=tuple(FOLDERS[group] for group in info.groups))
    raise LabelTableError(
        f"{folder / SCORES}: has no official split; put {SETS} (subpic/koniq, folder metadata) beside it"
    )


def read_split_folders(folder: Path) -> PhotoSet:
    """The set as wianluna/metrics_at lays it out: a folder for each split with METADATA (image, label) and the photos
    beside it. Groups as in `read_koniq10k`.

    Args:
      folder: with the folders train, val and test.

    Raises:
      LabelTableError: a table or photos are missing or damaged.
    """
    rows: list[Row] = []
    for place, split in FOLDERS.items():
        part = read_label_table(folder / place / METADATA, image_column="image", score_column="label")
        rows += [
            Row(line, str(Path(place, METADATA).parent / name), float(score), split)
            for line, (name, score) in enumerate(zip(part.names, part.scores, strict=True), start=2)
        ]
    return labelled_photos(folder, rows, folder)
