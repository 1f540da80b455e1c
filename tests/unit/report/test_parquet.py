"""Per-image rows as Parquet: the columns and values of the CSV, and one line where PyArrow is missing."""

import csv
import sys

import pytest
from small_report import small_report

from robust_iqa_jax.cli import main
from robust_iqa_jax.report.files import read_report, write_report

REPORT = small_report()


def test_the_file_holds_the_rows_of_the_csv_with_every_bit(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="PyArrow is not installed (extra 'parquet')")
    write_report(tmp_path, REPORT)
    assert main(["report", str(tmp_path), "--parquet"]) == 0
    table = parquet.read_table(tmp_path / "per_image.parquet")
    with (tmp_path / "per_image.csv").open() as file:
        assert table.column_names == next(csv.reader(file))
    assert [str(kind) for kind in table.schema.types] == ["string"] * 3 + ["double"] * 4
    assert table.to_pylist() == read_report(tmp_path)[0].per_image == REPORT.per_image
    assert {row["eps"] for row in REPORT.per_image if row["attack"] == "stadv-10"} == {None}


@pytest.mark.parametrize("args", [["report"], ["evaluate", "model"]])
def test_without_pyarrow_the_extra_is_named_in_one_line(args, tmp_path, monkeypatch, capsys):
    write_report(tmp_path, REPORT)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.chdir(tmp_path)
    assert main([*args, *([str(tmp_path)] if len(args) == 1 else []), "--parquet"]) == 1
    line = f"riqa {args[0]}: --parquet: the package pyarrow is not installed; pip install 'robust_iqa_jax[parquet]'\n"
    assert capsys.readouterr().err == line
    assert not (tmp_path / "per_image.parquet").exists()
