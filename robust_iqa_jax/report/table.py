"""A table of values with a caption, and its Markdown form; `latex` and `page` have the others.
Source: this project."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
      title: of the header.
      text: a value as it is shown.
      right: whether values are aligned to the right.
    """

    title: str
    text: Callable[[Any], str] = str
    right: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of values, one a column; None is a value that is not known.

    Attributes:
      key: short name, unique on a page.
      title: heading.
      columns: see Column.
      rows: values as they are, not as they are shown, so that a page can sort them.
      note: sentences that say what the values are.
    """

    key: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    note: str = ""

    def texts(self) -> list[list[str]]:
        """The rows as they are shown."""
        return [
            ["-" if value is None else column.text(value) for column, value in zip(self.columns, row, strict=True)]
            for row in self.rows
        ]


def number(title: str, digits: int = 4) -> Column:
    """A column of numbers; "-" for one that is not finite."""
    return Column(title, lambda value: f"{value:.{digits}f}" if math.isfinite(value) else "-", right=True)


def markdown(table: Table) -> list[str]:
    """Heading, note and pipe table, as lines."""
    lines = [f"## {table.title}", "", *([table.note, ""] if table.note else [])]
    lines.append(_line([column.title for column in table.columns]))
    lines.append("| " + " | ".join("---:" if column.right else "---" for column in table.columns) + " |")
    return [*lines, *(_line(row) for row in table.texts()), ""]


def _line(cells: list[str]) -> str:
    escaped = (" ".join(cell.split()).replace("\\", "\\\\").replace("|", "\\|") for cell in cells)
    return "| " + " | ".join(escaped) + " |"
