"""Per-image rows as an Apache Parquet file, for programs that read many of them; columns as in per_image.csv.
Format: parquet.apache.org, written by PyArrow (extra "parquet"), which nothing else here needs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from robust_iqa_jax.files import own_file


def write_parquet(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of equal columns, whole or not at all: text as strings, numbers as float64, None as null."""
    import pyarrow
    from pyarrow import parquet

    columns = {}
    for name in rows[0]:
        text = any(isinstance(row[name], str) for row in rows)
        columns[name] = pyarrow.array([row[name] for row in rows], pyarrow.string() if text else pyarrow.float64())
    with own_file(path) as temporary:
        parquet.write_table(pyarrow.table(columns), temporary)
