"""One run a folder: a lock that ends with its process, so that none is left behind by a killed one.
flock(2) on the file `.riqa-lock`, which says who holds it; removed at the end."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from robust_iqa_jax.files import OUT
from robust_iqa_jax.setting_error import SettingError

try:
    import fcntl
except ImportError:  # Windows has no flock: folders are not locked there
    fcntl = None

FILE = ".riqa-lock"


@contextmanager
def locked(folder: Path, place: str = OUT) -> Iterator[None]:
    """Hold a folder for the block.

    A file system without locks leaves it unlocked. The lock is not re-entrant.

    Args:
      folder: it exists.
      place: what gives the folder, for the message; may have a `setting` in it.

    Raises:
      ValueError: another run holds it; the message says which process on which host.
    """
    path = folder / FILE
    handle = _acquired(path, place)
    try:
        yield
    finally:
        if handle is not None:
            path.unlink(missing_ok=True)  # before the lock goes: `_acquired` sees that a file is no longer the one
            os.close(handle)


def _acquired(path: Path, place: str) -> int | None:
    if fcntl is None:
        return None
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(handle, 200).decode(errors="replace") or "another run"
            os.close(handle)
            raise SettingError(
                f"{path.parent}: {holder} is writing there; wait for it, end it, or choose another {place}"
            ) from error
        except OSError:
            os.close(handle)
            path.unlink(missing_ok=True)
            return None
        if _is_at(handle, path):
            break
        os.close(handle)
    os.ftruncate(handle, 0)
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    os.write(handle, f"process {os.getpid()} on {socket.gethostname()} (since {since})".encode())
    return handle


def _is_at(handle: int, path: Path) -> bool:
    """Whether the open file is still the one at the path: its holder before may have removed it meanwhile."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False
