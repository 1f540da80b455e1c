"""Readers of others' per-image results, giving the rows of ReportData.per_image.
Conventions of the authors' branches (A-Lin, A-Kon, A-TReS) and of MSU's robustness benchmark (docs/sources.md 7)."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from robust_iqa_jax.report.types import ImageRow

MSU_UAP_BOUND = 0.1
"""linf bound of MSU's universal perturbations, which an amplitude multiplies (methods/*-uap/train.py)."""

_CLEAN = ("clear_val", "origin_preds")
_ATTACKED = ("attacked_val_eps=", "preds_eps=")


def read_authors(path: Path | str, *, model: str, attack: str) -> list[ImageRow]:
    """Rows of a table of the paper's authors: one row an image, one column an eps.

    A-Lin: image_name, clear_val, attacked_val_eps=K; A-Kon and A-TReS: origin_preds, preds_eps=K, no names: the row's
    number stands for one. K counts grey levels, eps = K / 255. Columns of scaled scores are passed over. What the
    authors list as eps is a step size in A-Lin's PGD, and repeats one size under UAP and stAdv (docs/sources.md 4).

    Args:
      path: CSV file.
      model, attack: names in the rows.

    Raises:
      ValueError: missing columns, no rows, a cell that is no finite number.
    """
    columns, table = _read(path)
    clean = next((name for name in _CLEAN if name in columns), None)
    attacked = {name: name.split("=")[1] for name in columns if name.startswith(_ATTACKED)}
    if clean is None or not attacked:
        raise ValueError(f"{path}: a column {' or '.join(_CLEAN)} and columns {' or '.join(_ATTACKED)}K expected")
    rows = []
    for name, level in attacked.items():
        eps = _number(path, 1, name, level) / 255
        for line, cells in enumerate(table, start=2):
            scores = {
                "clean": _number(path, line, clean, cells[clean]),
                "attacked": _number(path, line, name, cells[name]),
            }
            image = cells.get("image_name", str(line - 2))
            rows.append({"image": image, "model": model, "attack": attack, "eps": eps, **scores})
    return rows


def read_msu(
    path: Path | str,
    *,
    model: str,
    attack: str,
    test_dataset: str | None = None,
    train_dataset: str | None = None,
    eps: float | None = None,
) -> list[ImageRow]:
    """Rows of a table of MSU's benchmark: image_name, test_dataset, clear, attacked, ..., for universal perturbations
    train_dataset and amplitude too.

    Args:
      path: CSV file.
      model, attack: names in the rows.
      test_dataset, train_dataset: the ones to read, where the file holds several.
      eps: size of the attack in [0,1] pixels; the file does not have it. With a column amplitude, eps is 0.1 times it.

    Raises:
      ValueError: missing columns, no rows, several data sets and none chosen, a cell that is no finite number.
    """
    columns, table = _read(path)
    if missing := [name for name in ("image_name", "test_dataset", "clear", "attacked") if name not in columns]:
        raise ValueError(f"{path}: no columns {', '.join(missing)}; MSU's convention has them")
    if eps is not None and "amplitude" in columns:
        raise ValueError(f"{path}: eps is 0.1 times the column amplitude here, do not give it")
    choices = {"test_dataset": test_dataset}
    if "train_dataset" in columns or train_dataset is not None:
        choices["train_dataset"] = train_dataset
    for column, choice in choices.items():
        there = sorted({cells[column] for cells in table}) if column in columns else []
        if choice not in there and not (choice is None and len(there) == 1):
            raise ValueError(f"{path}: choose {column} among {', '.join(there) or 'none'}, got {choice!r}")
    rows = []
    for line, cells in enumerate(table, start=2):
        if any(choice not in (None, cells[column]) for column, choice in choices.items()):
            continue
        size = MSU_UAP_BOUND * _number(path, line, "amplitude", cells["amplitude"]) if "amplitude" in columns else eps
        scores = {
            "clean": _number(path, line, "clear", cells["clear"]),
            "attacked": _number(path, line, "attacked", cells["attacked"]),
        }
        rows.append({"image": cells["image_name"], "model": model, "attack": attack, "eps": size, **scores})
    return rows


def _read(path: Path | str) -> tuple[Sequence[str], list[dict[str, str]]]:
    with Path(path).open(newline="") as file:
        reader = csv.DictReader(file)
        table = list(reader)
    if not table:
        raise ValueError(f"{path}: no rows")
    return reader.fieldnames or (), table


def _number(path: Path | str, line: int, column: str, text: str | None) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{path}, line {line}: {column} must be a finite number, got {text!r}")
    return value
