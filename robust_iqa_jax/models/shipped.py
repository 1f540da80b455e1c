"""The trained models that ship with the package, by name: their folders, and what was measured of them.
Made by configs/robust_lite0.py and configs/accurate_lite0.py; the card beside the weights says how good they are."""

import json
import os
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "pretrained"
DEFAULT = "robust-lite0"
"""What everything that needs a model takes where none is named."""
UNDEFENDED = "accurate-lite0"
SHIPPED = (DEFAULT, UNDEFENDED)
"""The robust model and its undefended twin, whose range of scores gains are measured in."""
MEASURED = "measured"
"""Entry of a shipped model's facts with its measurements."""


def shipped_folder(path: str | os.PathLike[str] | None) -> Path | None:
    """The folder of a shipped model; None where `path` names none of them.

    Args:
      path: a name, a path, or None for the default.

    Raises:
      ValueError: a name that something in the current folder has too.
    """
    if path is None:
        return FOLDER / DEFAULT
    name = os.fspath(path)
    if name not in SHIPPED:
        return None
    if Path(name).exists():
        raise ValueError(
            f"{name}: a model that ships is called so, and something in this folder is; rename that, or give its "
            "whole path"
        )
    return FOLDER / name


def shipped_measurements() -> dict[str, dict[str, Any]]:
    """Name -> what was measured of each shipped model, from its description; imports no JAX."""
    return {
        name: json.loads((FOLDER / name / "model.json").read_text(encoding="utf-8"))["facts"][MEASURED]
        for name in SHIPPED
    }
