"""The work folder of a run: one run at a time, and only one that goes on with what it finds there.
config.json says which run it is; a folder with a run's files and no config.json belongs to somebody else."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax

from robust_iqa_jax.files import check_folder, check_outputs, recognise, write_text
from robust_iqa_jax.folder_lock import locked
from robust_iqa_jax.setting_error import SettingError, setting
from robust_iqa_jax.training.config import TrainConfig
from robust_iqa_jax.training.metrics_log import FILE

OUTPUTS = ("config.json", "metrics.jsonl", "tensorboard", "checkpoints", "model")
"""In a work folder."""

WORKDIR = setting("workdir")
"""As messages name it."""


@contextmanager
def own_workdir(config: TrainConfig, workdir: Path) -> Iterator[None]:
    """Hold the folder for the block, which only the first process writes to.

    Raises:
      ValueError: it holds another configuration's run or files that are no run's, cannot be written to, or another
        process trains in it.
    """
    if jax.process_index() > 0:
        yield
        return
    check_folder(workdir, WORKDIR)
    with locked(workdir, WORKDIR):
        _claim(config, workdir)
        yield


def _claim(config: TrainConfig, workdir: Path) -> None:
    """Write config.json, or check that the one there is the same run's (where it is written does not matter).

    A field that the file lacks is one that is younger than the run, which had what is now its default.
    """
    path = workdir / "config.json"
    own, defaults = (
        {name: value for name, value in json.loads(json.dumps(c.to_json())).items() if name != "workdir"}
        for c in (config, TrainConfig())
    )
    if not path.exists():
        if strange := [name for name in OUTPUTS if (workdir / name).exists()]:
            raise SettingError(
                f"{WORKDIR} {workdir}: holds {strange[0]} and no config.json, so that no run wrote it; choose another"
            )
    else:
        earlier = _run_config(path)
        if earlier is None:
            raise SettingError(f"{WORKDIR} {workdir}: its config.json is not one of a run; choose another")
        changed = [name for name in own if own[name] != (defaults | earlier)[name]]
        if changed:
            raise SettingError(
                f"{workdir}: holds a run with other {', '.join(changed)}; choose another {WORKDIR} or remove it"
            )
        recognise([path, workdir / FILE], lambda: True)
    check_outputs([path, workdir / FILE], place=WORKDIR)
    write_text(path, json.dumps(own, indent=2) + "\n")


def _run_config(path: Path) -> dict[str, Any] | None:
    """What a run's config.json holds; None for any other file."""
    try:
        content = json.loads(path.read_text())
    except ValueError:
        return None
    return content if isinstance(content, dict) and {"name", "model", "data", "seed"} <= content.keys() else None
