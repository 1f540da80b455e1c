"""SPAQ: 11,125 photos of smartphones with mean opinion scores 0..100.
Source: Fang et al. 2020 (CVPR), "Perceptual Quality Assessment of Smartphone Photography", h4nwei/SPAQ."""

from contextlib import closing
from pathlib import Path
from typing import Any

from robust_iqa_jax.data.photo_files import LabelTableError, Row, finite_score, labelled_photos
from robust_iqa_jax.data.photo_set import PhotoSet
from robust_iqa_jax.extras import require

SCORES = "Annotations/MOS and Image attribute scores.xlsx"
IMAGES = "TestImage"


def read_spaq(folder: Path) -> PhotoSet:
    """The set, which has no official split; groups "0".."4" are folds.

    Args:
      folder: with SCORES, whose first sheet has the columns "Image name" and "MOS", and IMAGES.

    Raises:
      MissingExtra: openpyxl is not installed.
      LabelTableError: a file or photos are missing or damaged.
    """
    table = folder / SCORES
    header, *lines = _first_sheet(table)
    for column in ("Image name", "MOS"):
        if column not in header:
            raise LabelTableError(f"{table}: no column {column!r} in its first sheet; unpack the archive again")
    name_at, score_at = header.index("Image name"), header.index("MOS")
    rows = [
        Row(number, str(cells[name_at]), finite_score(table, number, "MOS", cells[score_at]), str(cells[name_at]))
        for number, cells in enumerate(lines, start=2)
        if cells[name_at] is not None
    ]
    return labelled_photos(table, rows, folder / IMAGES).in_folds()


def _first_sheet(table: Path) -> list[tuple[object, ...]]:
    require(str(table), "openpyxl")
    import openpyxl

    try:
        with closing(openpyxl.load_workbook(table, read_only=True, data_only=True)) as opened:
            book: Any = opened
            rows = list(book.worksheets[0].values)
    except Exception as error:  # zip and XML errors of many kinds
        raise LabelTableError(f"{table}: not a readable workbook ({error}); unpack the archive again") from error
    if not rows:
        raise LabelTableError(f"{table}: its first sheet is empty; unpack the archive again")
    return rows
