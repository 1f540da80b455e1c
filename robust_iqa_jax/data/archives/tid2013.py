"""TID2013: 3,000 pictures, 25 references under 24 distortions at 5 levels, with mean opinion scores 0..9.
Source: Ponomarenko et al. 2015 (Signal Processing: Image Communication 30), the readme of its archive."""

from collections.abc import Iterator
from pathlib import Path

from robust_iqa_jax.data.photo_files import LabelTableError, Row, finite_score, labelled_photos
from robust_iqa_jax.data.photo_set import PhotoSet

SCORES = "mos_with_names.txt"
IMAGES = "distorted_images"


def read_tid2013(folder: Path) -> PhotoSet:
    """The distorted pictures; groups "0".."4" are folds by reference.

    Args:
      folder: with SCORES, lines "5.51429 I01_01_1.bmp", and IMAGES, where names are partly of another case.

    Raises:
      LabelTableError: a file or pictures are missing or damaged.
    """
    table = folder / SCORES
    lines = [(i, line) for i, line in enumerate(_text(table).splitlines(), start=1) if line.strip()]

    def rows() -> Iterator[Row]:
        for number, line in lines:
            fields = line.split()
            if len(fields) != 2 or "_" not in fields[1]:
                raise LabelTableError(f"{table}, line {number}: {line.strip()!r} is not a score and a name")
            score, name = fields
            yield Row(number, name, finite_score(table, number, "MOS", score), name.split("_")[0].upper())

    return labelled_photos(table, rows(), folder / IMAGES).in_folds()


def _text(table: Path) -> str:
    try:
        return table.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise LabelTableError(f"{table}: cannot be read as text ({error}); unpack the archive again") from error
