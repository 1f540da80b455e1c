"""Checkpoints on the Hugging Face hub: "hf://owner/name", or "hf://owner/name@revision", as a folder on this machine.
Downloaded by huggingface_hub (extra "hub") into its own cache; what is there already is not downloaded again."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from robust_iqa_jax.extras import require
from robust_iqa_jax.weights.torch_pickle import CheckpointError

_SCHEME = re.compile(r"hf:/{1,2}")  # pathlib makes one slash of two
_ADDRESS = re.compile(rf"{_SCHEME.pattern}([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")


def is_address(path: str | os.PathLike[str]) -> bool:
    """Whether a path is meant as an address on the hub."""
    return _SCHEME.match(os.fspath(path)) is not None


def hub_folder(address: str | os.PathLike[str], files: Sequence[str]) -> Path:
    """The folder that an address stands for, with these files in it where the hub has them.

    Args:
      address: hf://OWNER/NAME or hf://OWNER/NAME@REVISION.
      files: names of those to download.

    Raises:
      MissingExtra: huggingface_hub is not installed.
      CheckpointError: no such address, or it cannot be reached; one line.
    """
    found = _ADDRESS.fullmatch(os.fspath(address))
    if found is None:
        raise CheckpointError(f"{address}: give hf://OWNER/NAME, or hf://OWNER/NAME@REVISION")
    name, revision = found.groups()
    require(f"hf://{name}", "huggingface_hub")
    import huggingface_hub

    try:
        return Path(huggingface_hub.snapshot_download(name, revision=revision, allow_patterns=list(files)))
    except Exception as error:  # of the hub, of HTTP and of the disk, of many kinds
        said = str(error).strip().splitlines()
        reason = said[0] if said else type(error).__name__
        raise CheckpointError(f"hf://{name}: cannot be downloaded ({reason})") from error
