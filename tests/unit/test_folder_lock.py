"""One run a folder: the second is refused and told who holds it; a killed run leaves nothing that stops the next."""

import os
import signal
import socket
import subprocess
import sys

import pytest

from robust_iqa_jax.folder_lock import FILE, locked

HOLD = """
import sys, time
from pathlib import Path
from robust_iqa_jax.folder_lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_second_run_is_told_who_holds_the_folder_and_a_killed_one_holds_nothing(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout.readline() == "held\n"
            told = rf"process {holder.pid} on {socket.gethostname()} \(since .*\) is writing there; wait for it, end it"
            with pytest.raises(ValueError, match=told), locked(tmp_path):
                pass
        finally:
            os.kill(holder.pid, signal.SIGKILL)
    assert (tmp_path / FILE).exists()
    with locked(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_a_lock_is_gone_after_an_error(tmp_path):
    with pytest.raises(RuntimeError), locked(tmp_path):
        raise RuntimeError
    with locked(tmp_path), pytest.raises(ValueError, match="choose another place"), locked(tmp_path, "place"):
        pass


def test_a_file_system_without_locks_leaves_the_folder_unlocked(tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("robust_iqa_jax.folder_lock.fcntl.flock", unsupported)
    with locked(tmp_path), locked(tmp_path):
        pass
