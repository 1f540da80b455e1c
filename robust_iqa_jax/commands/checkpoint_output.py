"""Where `riqa convert` and `riqa prune` may write a checkpoint, checked before the work."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from robust_iqa_jax.models import checkpoint

_DONE = {"release": "converted", "pruning": "pruned", "exported": "exported"}
"""What a command does, by the name of its facts."""


def check_output(folder: Path, inputs: Iterable[Path], kind: str, option: str = "") -> None:
    """Raise ValueError where a checkpoint in `folder` would replace what is read, or what this command did not write.

    Args:
      folder: to write to; it need not exist.
      inputs: files and folders that are read.
      kind: name among the facts of checkpoints of this command, which may be replaced.
      option: that gives the folder, for the message.
    """
    shown = f"{option} {folder}".lstrip()
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{shown}: is a file; give a folder to write to")
    parent = next(part for part in (folder, *folder.absolute().parents) if part.exists())
    if not parent.is_dir():
        raise ValueError(f"{shown}: {parent} is a file; give a folder to write to")
    if not os.access(parent, os.W_OK):
        raise ValueError(f"{shown}: {parent} cannot be written to; choose another folder")
    written = [folder / name for name in (checkpoint.DESCRIPTION, checkpoint.WEIGHTS)]
    standing = [path for path in written if path.exists()]
    read = {path.resolve() for path in inputs}
    if read & {folder.resolve(), *(path.resolve() for path in standing)}:
        raise ValueError(f"{shown}: holds the checkpoint that is {_DONE[kind]}; choose another folder")
    if standing and kind not in _facts(written[0]):
        raise ValueError(f"{shown}: {standing[0].name} there was not written by this command; choose another folder")


def _facts(description: Path) -> dict[str, Any]:
    try:
        facts = json.loads(description.read_text())["facts"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return facts if isinstance(facts, dict) else {}
