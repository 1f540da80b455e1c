"""Reading a table of image names and opinion scores (CSV) into a PhotoSet.
Source: this project; the names recognised are those of KonIQ-10k, SPAQ, KADID-10k, PaQ-2-PiQ and IQA-PyTorch."""

import csv
import io
import os
from collections.abc import Iterator
from pathlib import Path

from robust_iqa_jax.data.photo_files import LabelTableError, Row, finite_score, labelled_photos
from robust_iqa_jax.data.photo_set import PhotoSet

# In order of preference, lower case. DMOS is absent on purpose: in LIVE lower is better, in KADID-10k higher.
NAME_COLUMNS = (
    *("image_name", "image", "name", "filename", "file_name", "image name", "dist_img", "distorted_image"),
    *("img", "img_name", "dist_name", "image_path", "path", "file", "image_id"),
)
SCORE_COLUMNS = ("mos", "mos_zscore", "score", "mean_score", "quality", "label", "mean_opinion_score", "rating")
GROUP_COLUMNS = (
    *("split", "set", "fold", "subset", "group", "partition", "official_split", "ratio802_seed123_split_01"),
    *("ref_img", "ref_name", "ref", "reference", "source"),
)


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

    Images are found as `photo_files.labelled_photos` says.

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

    def photos() -> Iterator[Row]:
        for line, row in rows:
            if len(row) != len(header):
                raise LabelTableError(f"{path}, line {line}: {len(row)} fields where the header has {len(header)}")
            name = row[name_at].strip()
            if not name:
                raise LabelTableError(f"{path}, line {line}: no image name in column {header[name_at]!r}")
            # Spreadsheets of many countries write a decimal comma, and then another delimiter.
            field = row[score_at] if delimiter == "," else row[score_at].replace(",", ".")
            group = "" if group_at is None else row[group_at].strip()
            yield Row(line, name, finite_score(path, line, header[score_at], field), group)

    return labelled_photos(path, photos(), None if image_dir is None else Path(image_dir), label=label)


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
