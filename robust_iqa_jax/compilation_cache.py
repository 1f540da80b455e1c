"""Keeps the programs that commands compile, so that the next run of a command starts in seconds.
JAX's persistent compilation cache (jax.readthedocs.io, persistent_compilation_cache) in the user's cache folder."""

import hashlib
import os
import platform
import sys
from collections.abc import MutableMapping
from pathlib import Path

SWITCH = "RIQA_COMPILATION_CACHE"
"""Environment variable; 0 keeps nothing."""
FOLDER = "JAX_COMPILATION_CACHE_DIR"
"""JAX's own variable; where it is set, JAX does as it says."""
SHORTEST = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"
LIMIT = 2 << 30
"""Bytes; the oldest programs above it are removed."""


def keep_compiled_programs(environment: MutableMapping[str, str]) -> None:
    """Set JAX's variables of the cache, to be called before JAX is imported.

    Nothing is set where the user's variables say something else, or where the folder cannot be written to.

    Args:
      environment: of the process.
    """
    if environment.get(SWITCH) == "0" or FOLDER in environment:
        return
    folder = cache_folder(environment)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_oldest(folder)
    except OSError:
        return
    if os.access(folder, os.W_OK):
        environment[FOLDER] = str(folder)
        environment.setdefault(SHORTEST, "0.5")


def cache_folder(environment: MutableMapping[str, str]) -> Path:
    """The user's cache folder for programs of this kind of processor: machines that share a home may have several, and
    a program compiled for one need not run on another.

    Args:
      environment: with XDG_CACHE_HOME or LOCALAPPDATA, where users have set them.
    """
    home = Path.home()
    usual = {
        "darwin": home / "Library/Caches",
        "win32": Path(environment.get("LOCALAPPDATA") or home / "AppData/Local"),
    }
    caches = environment.get("XDG_CACHE_HOME") or usual.get(sys.platform, home / ".cache")
    return Path(caches) / "robust_iqa_jax" / f"compiled-{_processor()}"


def remove_oldest(folder: Path, limit: int = LIMIT) -> None:
    """Remove the files of a folder that were written first, until the others have `limit` bytes or fewer."""
    files = [(file.stat(), file) for file in folder.iterdir()]
    total = 0
    for found, file in sorted(files, key=lambda each: each[0].st_mtime, reverse=True):
        total += found.st_size
        if total > limit:
            file.unlink(missing_ok=True)


def _processor() -> str:
    """Eight digits of what the processor can do."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    facts = {line for line in lines if line.startswith(("model name", "flags", "Features"))}
    text = "\n".join([platform.machine(), platform.processor(), *sorted(facts)])
    return hashlib.sha256(text.encode()).hexdigest()[:8]
