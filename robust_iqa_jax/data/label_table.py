"""Reading a table of image names and opinion scores (CSV) into a PhotoSet.
Source: this project; the names recognised are those of KonIQ-10k, SPAQ, KADID-10k, PaQ-2-PiQ and IQA-PyTorch."""

import csv
import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from robust_iqa_jax.data.file_kinds import image_kind, other_kind
from robust_iqa_jax.data.photo_files import LabelTableError, Row, labelled_photos, number
from robust_iqa_jax.data.photo_set import PhotoSet
from robust_iqa_jax.setting_error import setting

# Lower case, with "_" for spaces, dots and hyphens. In order of preference, but for scores, of which none is preferred.
# DMOS is absent on purpose: in LIVE lower is better, in KADID-10k higher.
IMAGE_COLUMNS = (
    *("image_name", "image", "name", "filename", "file_name", "dist_img", "distorted_image", "img", "img_name"),
    *("dist_name", "image_path", "img_path", "image_file", "path", "file", "filepath", "file_path"),
    *("photo", "photo_name", "photo_path", "picture", "picture_name", "image_id", "photo_id"),
)
SCORE_COLUMNS = (
    *("mos", "mos_zscore", "score", "mean_score", "quality", "quality_score", "label", "mean_opinion_score"),
    *("opinion_score", "rating", "mean_rating"),
)
SPLIT_COLUMNS = ("split", "set", "fold", "subset", "group", "partition")
GROUP_COLUMNS = (
    *SPLIT_COLUMNS,
    *("official_split", "ratio802_seed123_split_01", "ref_img", "ref_name", "ref", "reference", "source"),
)
MAX_TABLE_BYTES = 1 << 28
"""Larger files are refused; KADID-10k's table has half a megabyte."""
_DELIMITERS = ";\t,"
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")


def read_label_table(
    csv_path: str | os.PathLike[str],
    *,
    image_dir: str | os.PathLike[str] | None = None,
    image_column: str | None = None,
    score_column: str | None = None,
    group_column: str | None = None,
    label: str = "mos",
) -> PhotoSet:
    """Read a table with a header line.

    - Delimiter comma, semicolon or tab, told by the first line or named by a spreadsheet's line `sep=;` above it.
      UTF-8, or UTF-16 with its byte-order mark as spreadsheets write it.
    - Columns are recognised by their names, in any case and with spaces, dots or hyphens for underscores
      (`IMAGE_COLUMNS`, `SCORE_COLUMNS`, `GROUP_COLUMNS`). Of several that may hold the scores, or a split, none is
      taken: one has to be named. Of several with image names the first of the list is taken.
    - A DMOS column is used only when `score_column` names it: some data sets write lower for better, others higher.
      Scores are taken as they are, so make sure that higher is better.
    - A comma in a score is a decimal comma: "1,5" is 1.5.
    - A table of two columns without a header is read where its first line is an image name and a number.

    Images are found as `photo_files.labelled_photos` says.

    Args:
      csv_path: the table.
      image_dir: folder of the images.
      image_column, score_column, group_column: columns to use instead of those recognised (spelling as above).
      label: what the scores are, "mos" or "pseudo_mos".

    Returns:
      The photos in the table's order; groups are "" without a column of groups.

    Raises:
      LabelTableError: no such table, missing or ambiguous columns, a score that is no finite number, a name that comes
        twice, images that are missing or ambiguous, no rows. Images are opened later, by `load`.
    """
    path = Path(csv_path)
    asked = {_plain(name) for name in (image_column, score_column, group_column) if name is not None}
    table = _table(path, asked)
    image_at = _column(table, _IMAGE, image_column)
    score_at = _column(table, _SCORE, score_column)
    has_group = group_column is not None or any(_plain(name) in GROUP_COLUMNS for name in table.header)
    group_at = _column(table, _GROUP, group_column) if has_group else None
    scores = _scores(table, score_at)

    def photos() -> Iterator[Row]:
        for (line, row), score in zip(table.rows, scores, strict=True):
            name = row[image_at].strip()
            if not name:
                raise LabelTableError(f"{path}, line {line}: no image name in column {table.header[image_at]!r}")
            yield Row(line, name, score, "" if group_at is None else row[group_at].strip())

    return labelled_photos(path, photos(), None if image_dir is None else Path(image_dir), label=label)


@dataclass(frozen=True)
class _Table:
    """Attributes:
    path: of the file.
    header: names of the columns, as written.
    rows: line, counted from 1, and fields, as many as the header has, of every row that is not blank.
    """

    path: Path
    header: list[str]
    rows: list[tuple[int, list[str]]]


@dataclass(frozen=True)
class _Role:
    """What a column is for: in words, as an argument, and by which names it is known."""

    what: str
    argument: str
    known: tuple[str, ...]
    rivals: tuple[str, ...]
    """Names of which a table must not have two."""

    def choose(self, column: str = "NAME") -> str:
        """How to name it."""
        return f"choose with {setting(self.argument)} {column!r}"


_IMAGE = _Role("image name", "image_column", IMAGE_COLUMNS, ())
_SCORE = _Role("score", "score_column", SCORE_COLUMNS, SCORE_COLUMNS)
_GROUP = _Role("group", "group_column", GROUP_COLUMNS, SPLIT_COLUMNS)


def _plain(name: str) -> str:
    """A column's name as it is compared."""
    return re.sub(r"[\s._-]+", "_", name.strip().lower()).strip("_")


def _column(table: _Table, role: _Role, asked: str | None) -> int:
    names = [_plain(name) for name in table.header]
    shown = ", ".join(name or "(no name)" for name in table.header)
    if asked is not None:
        found = [i for i, name in enumerate(names) if name == _plain(asked)]
        if not found:
            raise LabelTableError(
                f"{table.path}: no column {asked!r} ({setting(role.argument)}); the table has {shown}"
            )
    else:
        rivals = [i for i, name in enumerate(names) if name in role.rivals]
        first = next((name for name in role.known if name in names), None)
        found = rivals or [i for i, name in enumerate(names) if name == first]
    if len(found) > 1:
        rival = ", ".join(repr(table.header[i]) for i in found)
        cure = "rename one" if len({names[i] for i in found}) == 1 else role.choose(table.header[found[-1]])
        raise LabelTableError(f"{table.path}: {len(found)} columns may be the {role.what}: {rival}; {cure}")
    if found:
        return found[0]
    cure = role.choose()
    if role is _SCORE and "dmos" in names:
        cure += "; 'dmos' may mean that lower is better, so it is used only when it is named"
    hint = "; no comma, semicolon or tab divides its header" if len(table.header) == 1 else ""
    raise LabelTableError(
        f"{table.path}: no {role.what} column (known names: {', '.join(role.known[:5])}, ...); "
        f"the table has {shown}{hint}; {cure}"
    )


def _scores(table: _Table, at: int) -> list[float]:
    fields = [row[at].strip() for _, row in table.rows]
    scores = [_score(field) for field in fields]
    broken = [i for i, score in enumerate(scores) if score is None]
    if broken:
        others = f", nor is it in {len(broken) - 1} more rows; " if len(broken) > 1 else "; "
        raise LabelTableError(
            f"{table.path}, line {table.rows[broken[0]][0]}: {table.header[at]!r} is {fields[broken[0]]!r}, "
            f"not a finite number{others}correct it or take the row out"
        )
    return [score for score in scores if score is not None]


def _score(field: str) -> float | None:
    return number(field.replace(",", ".") if _DECIMAL_COMMA.fullmatch(field) else field)


def _table(path: Path, asked: set[str]) -> _Table:
    text = _text(path)
    first = next((line for line in text.splitlines() if line.strip()), "")
    if not first:
        raise LabelTableError(
            f"{path}: the table is empty; give a header such as 'image_name,mos' and one line an image"
        )
    named = re.fullmatch(r'"?sep=(.)"?', first.strip("\r\n "), re.IGNORECASE)
    recognised = {*IMAGE_COLUMNS, *SCORE_COLUMNS, *asked}
    delimiter = named[1] if named else _delimiter(first, recognised)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    try:
        rows = [(reader.line_num, row) for row in reader if any(field.strip() for field in row)]
    except csv.Error as error:
        raise LabelTableError(f"{path}, line {reader.line_num}: not a CSV line ({error})") from error
    rows = rows[1:] if named else rows
    if not rows:
        raise LabelTableError(f"{path}: the table is empty below its line {first.strip()!r}")
    header = [name.strip() for name in rows[0][1]]
    if any(_score(name) is not None for name in header) and recognised.isdisjoint(map(_plain, header)):
        header = _missing_header(path, *rows[0])
    else:
        rows = rows[1:]
    for line, row in rows:
        if len(row) != len(header):
            raise LabelTableError(f"{path}, line {line}: {len(row)} fields where the header has {len(header)}")
    return _Table(path, header, rows)


def _delimiter(first: str, recognised: set[str]) -> str:
    """The one that divides a table's first line into names that are known, or else the most frequent one."""
    bare = re.sub(r'"[^"]*"', "", first)  # where a comma may be one of a name or a decimal one
    frequent = sorted(_DELIMITERS, key=bare.count, reverse=True)
    known = (
        d for d in frequent if d in bare and not recognised.isdisjoint(_plain(f.strip('" ')) for f in first.split(d))
    )
    return next(known, frequent[0])


def _missing_header(path: Path, line: int, row: list[str]) -> list[str]:
    """The header that a table lacks, where its first line leaves no doubt."""
    numbers = [_score(field.strip()) is not None for field in row]
    if sorted(numbers) == [False, True]:
        return ["mos" if is_number else "image_name" for is_number in numbers]
    raise LabelTableError(
        f"{path}, line {line}: {','.join(row)[:60]!r} has numbers where names of columns are expected; "
        "write a header above it, such as 'image_name,mos'"
    )


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_TABLE_BYTES + 1)
    except FileNotFoundError as error:
        raise LabelTableError(f"{path}: no such file") from error
    except OSError as error:
        raise LabelTableError(f"{path}: cannot be read ({error.strerror})") from error
    if len(data) > MAX_TABLE_BYTES:
        raise LabelTableError(f"{path}: larger than {MAX_TABLE_BYTES >> 20} MiB, no label table")
    if what := "an image" if image_kind(data) not in (None, "BMP", "PPM") else other_kind(data):
        raise LabelTableError(f"{path}: not a CSV table but {what}; save the table as CSV in UTF-8")
    utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise LabelTableError(f"{path}: not a text file in UTF-8; save the table as CSV in UTF-8") from error
    if "\0" in text:
        raise LabelTableError(f"{path}: not a text file in UTF-8 (it holds zero bytes); save the table as CSV in UTF-8")
    return text
