"""Damaged image files of every format: decoded or refused in one line, by a process of limited memory."""

import os
import subprocess
import sys

import pytest
from places import SUPPORT


@pytest.mark.parametrize(
    ("count", "seed"), [(200, 1), *(pytest.param(2000, seed, marks=pytest.mark.slow) for seed in range(2, 7))]
)
def test_damaged_images_are_decoded_or_refused_and_nothing_else(count, seed):
    pytest.importorskip("resource", reason="no limits of memory on this system")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(SUPPORT), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, str(SUPPORT / "fuzzed_images.py"), str(count), str(seed)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, f"status {done.returncode}: {done.stderr[-2000:]}"
    decoded, refused = map(int, done.stdout.split())
    assert decoded + refused == count
    assert decoded > 0.05 * count  # so that decoders are reached, and not only checks
    assert refused > 0.5 * count
