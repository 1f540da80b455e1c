"""From the rows of a label table to a PhotoSet: the checks that all readers share, and finding the images on disk.
Source: this project; the places are those where KonIQ-10k, LIVE In the Wild and TID2013 keep their images."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from robust_iqa_jax.data.images import IMAGE_SUFFIXES, read_pixels
from robust_iqa_jax.data.photo_set import PhotoSet
from robust_iqa_jax.setting_error import SettingError, setting

LONGEST_MESSAGE, CURE = 800, 200
"""Characters of a message, and of its end, which says what to do."""


class LabelTableError(SettingError):
    """A table that cannot be used; one line that names the file, the line or column, and the cure.

    Whatever the table holds: breaks of lines in what is quoted become spaces, and a long text is shortened within.
    """

    def __init__(self, message: str):
        line = " ".join(message.splitlines())
        if len(line) > LONGEST_MESSAGE:
            line = f"{line[: LONGEST_MESSAGE - CURE]} ... {line[-CURE:]}"
        super().__init__(line)


class Row(NamedTuple):
    """One photo of a table: its line, counted from 1, its name, its score and its group, "" for none."""

    line: int
    name: str
    score: float
    group: str


def labelled_photos(table: Path, rows: Iterable[Row], image_dir: Path | None = None, *, label: str = "mos") -> PhotoSet:
    """The photos of a table, in its order.

    Images are looked for in `image_dir`, or, without it, beside the table and in its folders `images/` and `Images/`.
    A name that is not there as written is matched by its stem in any case ("10.bmp" finds "10.webp", "10" finds
    "10.jpg", "I01.bmp" finds "i01.BMP"), if only one image has that stem.

    Args:
      table: the file that the rows come from.
      rows: of the table.
      image_dir: folder of the images.
      label: what the scores are, "mos" or "pseudo_mos".

    Raises:
      LabelTableError: no rows, a name that comes twice, images that are missing or ambiguous.
    """
    rows = list(rows)
    if not rows:
        raise LabelTableError(f"{table}: a header but no rows; give one line an image")
    lines: dict[str, int] = {}
    for row in rows:
        if row.name in lines:
            raise LabelTableError(
                f"{table}, line {row.line}: {row.name!r} was already given in line {lines[row.name]}; "
                "keep one, of several ratings their mean"
            )
        lines[row.name] = row.line
    scores = np.array([row.score for row in rows], np.float64)
    files = PhotoFiles(_find_images(table, lines, image_dir))
    return PhotoSet(tuple(lines), scores, label, files, tuple(row.group for row in rows))


def finite_score(table: Path, line: int, column: str, field: object) -> float:
    """A table's score as a number.

    Raises:
      LabelTableError: it is no finite number.
    """
    text = str(field).strip()
    value = number(text)
    if value is None:
        raise LabelTableError(f"{table}, line {line}: {column!r} is {text!r}, not a finite number")
    return value


def number(text: str) -> float | None:
    """A text as a finite number; None if it is none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in text else None  # to Python "1_5" is fifteen


@dataclass(frozen=True)
class PhotoFiles:
    """Reads the i-th of some image files; a class and not a closure, so that worker processes can pickle it."""

    paths: tuple[Path, ...]

    def __call__(self, index: int) -> np.ndarray:
        """Uint8 (h, w, 3) sRGB."""
        return read_pixels(self.paths[index])


def _find_images(table: Path, lines: dict[str, int], image_dir: Path | None) -> tuple[Path, ...]:
    folders = [table.parent, table.parent / "images", table.parent / "Images"] if image_dir is None else [image_dir]
    if image_dir is not None and not image_dir.is_dir():
        raise LabelTableError(f"{image_dir}: no such folder of images (image_dir of {table})")
    stems: dict[Path, dict[str, list[Path]]] = {}
    owner: dict[Path, str] = {}
    missing: list[str] = []
    for name, line in lines.items():
        candidates = _candidates(name, folders, stems)
        if len(candidates) > 1:
            shown = ", ".join(candidate.name for candidate in candidates[:3])
            raise LabelTableError(f"{table}, line {line}: {name!r} is not there as written and may be any of {shown}")
        if not candidates:
            missing.append(name)
            continue
        file = candidates[0]
        if file in owner:
            raise LabelTableError(
                f"{table}, line {line}: {name!r} is {file}, as is line {lines[owner[file]]}'s {owner[file]!r}"
            )
        owner[file] = name
    if missing:
        where = image_dir or f"{table.parent} and its images/"
        shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise LabelTableError(
            f"{table}: {len(missing)} of {len(lines)} images are not in {where}: {shown}; "
            f"put them there, or name their folder with {setting('image_dir')}"
        )
    return tuple(owner)


def _candidates(name: str, folders: Iterable[Path], stems: dict[Path, dict[str, list[Path]]]) -> list[Path]:
    """The file of this name, or else all images of its stem in the first folder that has any."""
    relative = name.replace("\\", "/")
    for folder in folders:
        if _is_file(folder / relative):
            return [folder / relative]
    wanted = Path(relative)
    # "photo.v2" is a stem with a dot: only the suffix of an image is cut.
    stem = wanted.stem if wanted.suffix.lower() in IMAGE_SUFFIXES else wanted.name
    for folder in folders:
        place = (folder / relative).parent
        if place not in stems:
            stems[place] = _stems(place)
        if found := stems[place].get(stem.lower()):
            return found
    return []


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have: too long, with a zero byte
        return False


def _stems(folder: Path) -> dict[str, list[Path]]:
    images: dict[str, list[Path]] = {}
    try:
        files = sorted(folder.iterdir())
    except (OSError, ValueError):  # no folder, or none that can be listed
        return images
    for file in files:
        if file.suffix.lower() in IMAGE_SUFFIXES:
            images.setdefault(file.stem.lower(), []).append(file)
    return images
