"""What a command may write, and how: a file appears whole or not at all, and replaces only what riqa wrote before.
Each folder that is written to lists its files in `.riqa-files`; the replacing is the rename of POSIX."""

import errno
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from robust_iqa_jax.setting_error import SettingError, setting

OUT = setting("folder", "--out")
"""What gives the place of outputs, unless something else is said to."""

LIST = ".riqa-files"
"""Names of the files in its folder that riqa wrote, one a line; they may be replaced, any other may not."""


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path to write to, which becomes `path` at the end of the block; an error leaves what was there before.

    For names that nobody else has, such as those made from a digest; `own_file` is for all others. A link at `path` is
    replaced itself, what it leads to and other names of the same file are left as they were.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def own_file(path: Path) -> Iterator[Path]:
    """`whole_file` for a name that a user's file may have: refuses to replace that, and notes the new one as ours.

    Raises:
      ValueError: see `check_outputs`.
    """
    check_outputs([path])
    with whole_file(path) as temporary:
        yield temporary
        note([path])


def write_text(path: Path, text: str) -> None:
    """A whole UTF-8 file of ours; raises as `own_file` does."""
    with own_file(path) as temporary:
        # names of files need not be text: what Python made of them goes back as it came
        temporary.write_text(text, encoding="utf-8", errors="surrogateescape")


def is_ours(path: Path) -> bool:
    """Whether riqa wrote a file of this name in this folder."""
    return path.name in _listed(path.parent)


def note(paths: Iterable[Path]) -> None:
    """List paths as ours: files that are about to be written, or whose content says that riqa wrote them."""
    for path in paths:
        if not is_ours(path):
            with (path.parent / LIST).open("a", encoding="utf-8", errors="surrogateescape") as file:
                file.write(f"{path.name}\n")


def check_outputs(outputs: Iterable[Path], inputs: Iterable[Path] = (), place: str = OUT) -> None:
    """Raise ValueError where one of the files to write is an input, or exists and is not ours.

    Args:
      outputs: files that a command is going to write; their folders need not exist.
      inputs: files that it reads. Other names of them count too: links of both kinds, and other spellings on a file
        system that does not tell upper from lower case.
      place: what gives the outputs' place, for the message; may have a `setting` in it.
    """
    read = {identity for path in inputs if (identity := _identity(path)) is not None}
    for path in outputs:
        if not os.path.lexists(path):
            continue
        if _identity(path) in read:
            raise SettingError(f"{path}: is read by this command and would be replaced; choose another {place}")
        if path.is_dir():
            raise SettingError(f"{path}: is a folder where a file is to be written; choose another {place}")
        if not is_ours(path):
            raise SettingError(
                f"{path}: exists and was not written by riqa; choose another {place}, or move that file away"
            )


def check_folder(folder: Path, place: str = OUT) -> None:
    """Create a folder for outputs where it is missing, and raise ValueError where nothing can be written to it."""
    standing = next(part for part in (folder, *folder.absolute().parents) if part.exists())
    if not standing.is_dir():
        raise SettingError(f"{place} {folder}: {standing} is a file; give a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".riqa.{os.getpid()}.tmp"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise SettingError(f"{place} {folder}: cannot be written to ({error.strerror}); choose another") from error


def check_file(path: Path, place: str = OUT, inputs: Iterable[Path] = ()) -> None:
    """Raise ValueError where a single output file cannot be written, or may not be (`check_outputs`)."""
    check_outputs([path], inputs, place)
    check_folder(path.parent, place)


def check_space(folder: Path, needed: float, what: str) -> None:
    """Raise ValueError where a disk has less room than is needed.

    Args:
      folder: on the disk; it exists.
      needed: bytes.
      what: needs them, for the message.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ValueError(
            f"{folder}: {what} need {needed / 1e9:.2f} GB, {free / 1e9:.2f} GB are free; free some space or choose "
            "another folder"
        )


def cure(error: BaseException) -> str:
    """What to do about a file that could not be written: whether it is space that is missing, the error or its text
    says, since libraries raise errors of their own."""
    full = [os.strerror(number).lower() for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)]
    if any(reason in str(error).lower() for reason in full):
        return "free some space"
    return "see that the folder can be written to and that nothing else writes there"


def recognise(paths: Iterable[Path], is_of_riqa: Callable[[], bool]) -> None:
    """Note files as ours that an older version or a copy left without a list, where their content says so."""
    unlisted = [path for path in paths if path.is_file() and not is_ours(path)]
    if unlisted and is_of_riqa():
        note(unlisted)


def _listed(folder: Path) -> set[str]:
    try:
        return set((folder / LIST).read_text(encoding="utf-8", errors="surrogateescape").split("\n")) - {""}
    except OSError:
        return set()


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and number of what is behind a path, links followed; None where nothing is."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
