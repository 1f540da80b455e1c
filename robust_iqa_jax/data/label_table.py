"""Reading a table of image names and opinion scores (CSV) into a PhotoSet, finding the images beside it.
Source: this project; the names recognised are those of KonIQ-10k, LIVE In the Wild, SPAQ, KADID-10k and PaQ-2-PiQ."""

import csv
import io
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robust_iqa_jax.data.images import IMAGE_SUFFIXES, read_image
from robust_iqa_jax.data.photo_set import PhotoSet

# In order of preference, lower case. DMOS is absent on purpose: in LIVE lower is better, in KADID-10k higher.
NAME_COLUMNS = (
    *("image_name", "image", "name", "filename", "file_name", "image name", "dist_img", "distorted_image"),
    *("img", "img_name", "image_path", "path", "file", "image_id"),
)
SCORE_COLUMNS = ("mos", "mos_zscore", "score", "mean_score", "quality", "label", "mean_opinion_score", "rating")
GROUP_COLUMNS = ("split", "set", "fold", "subset", "group", "partition", "ref_img", "ref", "reference", "source")


class LabelTableError(ValueError):
    """A table that cannot be used; one line that names the file, the line or column, and the cure."""


def read_label_table(
    csv_path: str | os.PathLike[str],
    *,
    image_dir: str | os.PathLike[str] | None = None,
    name_column: str | None = None,
    score_column: str | None = None,
    group_column: str | None = None,
    label: str = "mos",
) -> PhotoSet:
    """Read a table with a header line; delimiter comma, semicolon or tab; UTF-8 with or without a byte-order mark.

    Columns are recognised by their names, in any case (`NAME_COLUMNS`, `SCORE_COLUMNS`, `GROUP_COLUMNS`; the first of
    each list that the table has). A DMOS column is used only when `score_column` names it: some data sets write lower
    for better, others higher. Scores are taken as they are, so make sure that higher is better.

    Images are looked for in `image_dir`, or, without it, beside the table and in its folders `images/` and `Images/`.
    A name that is not there as written is matched by its stem ("10.bmp" finds "10.webp", "10" finds "10.jpg"), if only
    one image has that stem.

    Args:
      csv_path: the table.
      image_dir: folder of the images.
      name_column, score_column, group_column: columns to use instead of those recognised (any case).
      label: what the scores are, "mos" or "pseudo_mos".

    Returns:
      The photos in the table's order; groups are "" without a split column.

    Raises:
      LabelTableError: no such table, missing columns, a score that is no finite number, a name that comes twice, images
        that are missing or ambiguous, no rows. Images are opened later, by `load`.
    """
    path = Path(csv_path)
    rows, header, delimiter = _rows(path)
    columns = {name.strip().lower(): index for index, name in reversed(list(enumerate(header)))}
    name_at = _column(path, header, columns, "image name", name_column, NAME_COLUMNS, "name_column")
    score_at = _column(path, header, columns, "score", score_column, SCORE_COLUMNS, "score_column")
    has_group = group_column is not None or any(name in columns for name in GROUP_COLUMNS)
    group_at = (
        _column(path, header, columns, "group", group_column, GROUP_COLUMNS, "group_column") if has_group else None
    )

    lines: dict[str, int] = {}
    scores: list[float] = []
    groups: list[str] = []
    for line, row in rows:
        if len(row) != len(header):
            raise LabelTableError(f"{path}, line {line}: {len(row)} fields where the header has {len(header)}")
        name = row[name_at].strip()
        if not name:
            raise LabelTableError(f"{path}, line {line}: no image name in column {header[name_at]!r}")
        if name in lines:
            raise LabelTableError(f"{path}, line {line}: {name!r} was already given in line {lines[name]}; keep one")
        lines[name] = line
        scores.append(_score(path, line, header[score_at], row[score_at], delimiter))
        groups.append("" if group_at is None else row[group_at].strip())
    if not lines:
        raise LabelTableError(f"{path}: a header but no rows; give one line an image")
    files = _find_images(path, lines, None if image_dir is None else Path(image_dir))
    return PhotoSet(tuple(lines), np.array(scores, np.float64), label, _Files(files), tuple(groups))


@dataclass(frozen=True)
class _Files:
    """A class and not a closure: worker processes of an input pipeline must be able to pickle it."""

    paths: tuple[Path, ...]

    def __call__(self, index: int) -> np.ndarray:
        return read_image(self.paths[index])


def _rows(path: Path) -> tuple[list[tuple[int, list[str]]], list[str], str]:
    """((line number, fields) of the rows that are not blank, header, delimiter)."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise LabelTableError(f"{path}: no such file") from error
    except UnicodeDecodeError as error:
        raise LabelTableError(f"{path}: not a text file in UTF-8; save the table as CSV in UTF-8") from error
    except OSError as error:
        raise LabelTableError(f"{path}: cannot be read ({error.strerror})") from error
    first = next((line for line in text.splitlines() if line.strip()), "")
    if not first:
        raise LabelTableError(
            f"{path}: the table is empty; give a header such as 'image_name,mos' and one line an image"
        )
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    try:
        rows = [(reader.line_num, row) for row in reader if any(field.strip() for field in row)]
    except csv.Error as error:
        raise LabelTableError(f"{path}, line {reader.line_num}: not a CSV line ({error})") from error
    return rows[1:], [name.strip() for name in rows[0][1]], delimiter


def _column(
    path: Path,
    header: list[str],
    columns: dict[str, int],
    what: str,
    asked: str | None,
    known: tuple[str, ...],
    option: str,
) -> int:
    found = ", ".join(header)
    if asked is not None:
        if asked.strip().lower() not in columns:
            raise LabelTableError(f"{path}: no column {asked!r}; the table has {found}")
        return columns[asked.strip().lower()]
    for name in known:
        if name in columns:
            return columns[name]
    cure = f"pass {option}=..."
    if what == "score" and "dmos" in columns:
        cure += "; 'dmos' may mean that lower is better, so it is used only when score_column='dmos' asks for it"
    raise LabelTableError(
        f"{path}: no {what} column (known names: {', '.join(known[:5])}, ...); the table has {found}; {cure}"
    )


def _score(path: Path, line: int, column: str, field: str, delimiter: str) -> float:
    # Spreadsheets of many countries write a decimal comma, and then another delimiter.
    text = field.strip() if delimiter == "," else field.strip().replace(",", ".")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise LabelTableError(f"{path}, line {line}: {column!r} is {field.strip()!r}, not a finite number")
    return value


def _find_images(path: Path, lines: dict[str, int], image_dir: Path | None) -> tuple[Path, ...]:
    folders = [path.parent, path.parent / "images", path.parent / "Images"] if image_dir is None else [image_dir]
    if image_dir is not None and not image_dir.is_dir():
        raise LabelTableError(f"{image_dir}: no such folder of images (image_dir of {path})")
    stems: dict[Path, dict[str, list[Path]]] = {}
    owner: dict[Path, str] = {}
    missing: list[str] = []
    for name, line in lines.items():
        candidates = _candidates(name, folders, stems)
        if len(candidates) > 1:
            shown = ", ".join(candidate.name for candidate in candidates[:3])
            raise LabelTableError(f"{path}, line {line}: {name!r} is not there as written and may be any of {shown}")
        if not candidates:
            missing.append(name)
            continue
        file = candidates[0]
        if file in owner:
            raise LabelTableError(
                f"{path}, line {line}: {name!r} is {file}, as is line {lines[owner[file]]}'s {owner[file]!r}"
            )
        owner[file] = name
    if missing:
        where = image_dir or f"{path.parent} and its images/"
        shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise LabelTableError(
            f"{path}: {len(missing)} of {len(lines)} images are not in {where}: {shown}; pass image_dir=..."
        )
    return tuple(owner)


def _candidates(name: str, folders: Iterable[Path], stems: dict[Path, dict[str, list[Path]]]) -> list[Path]:
    """The file of this name, or else all images of its stem in the first folder that has any."""
    relative = name.replace("\\", "/")
    for folder in folders:
        if (folder / relative).is_file():
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


def _stems(folder: Path) -> dict[str, list[Path]]:
    images: dict[str, list[Path]] = {}
    if folder.is_dir():
        for file in sorted(folder.iterdir()):
            if file.suffix.lower() in IMAGE_SUFFIXES:
                images.setdefault(file.stem.lower(), []).append(file)
    return images
