"""The same run on one device, on eight under pmap and over a mesh, and on two processes with four each."""

import functools
import os
import socket
import subprocess
import sys

import numpy as np
import pytest
from host_devices import host_devices
from places import SUPPORT

from robust_iqa_jax.devices import run_devices

SCRIPT = SUPPORT / "parallel_runs.py"


def start(out, devices, *args):
    flags = host_devices(devices)
    environment = {**os.environ, **flags, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "JAX_ENABLE_X64": "1"}
    command = [sys.executable, str(SCRIPT), str(out), *map(str, args)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(*processes, seconds=280):
    try:
        for process in processes:
            output = process.communicate(timeout=seconds)[0]
            assert process.returncode == 0, output[-3000:]
    finally:
        for process in processes:
            process.kill()  # not SIGTERM: jax.distributed takes it for a warning


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """Variants -> what they give on one device."""
    folder = tmp_path_factory.mktemp("parallel")

    @functools.cache
    def run(variants):
        finish(start(folder / f"{variants}.npz", 1, "none", variants))
        return dict(np.load(folder / f"{variants}.npz"))

    return run


def assert_same(found, expected):
    """In float64 only the order of sums differs; NT divides that difference by its short step, 0.01."""
    assert found.keys() == expected.keys()
    for name in expected.keys() - {"devices"}:
        tolerance = 1e-6 if name.startswith("NT") else 1e-10
        scale = np.abs(expected[name]).max() + 1e-3
        np.testing.assert_allclose(found[name], expected[name], atol=tolerance * scale, rtol=0, err_msg=name)
    for losses in (value for name, value in expected.items() if name.endswith(":losses")):
        assert losses[-1] < 0.9 * losses[0]


ALL = "plain,NT,AT,norm-in-norm,accumulated"


def test_two_devices_give_the_run_of_one(tmp_path):
    finish(start(tmp_path / "MODE.npz", 2, "none+sharded", "quick"))
    assert_same(*(dict(np.load(tmp_path / f"{mode}.npz")) for mode in ("sharded", "none")))


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["pmap", "sharded"])
def test_eight_devices_give_the_run_of_one(mode, single, tmp_path):
    finish(start(tmp_path / "out.npz", 8, mode, ALL))
    found = dict(np.load(tmp_path / "out.npz"))
    assert found["devices"] == 8
    assert_same(found, single(ALL))


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("mode", ["pmap", "sharded"])
def test_two_processes_of_four_devices_give_the_run_of_one(mode, single, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{free.getsockname()[1]}"
    outs = [tmp_path / f"{i}.npz" for i in range(2)]
    finish(*(start(out, 4, mode, ALL, coordinator, 2, i) for i, out in enumerate(outs)), seconds=1100)
    for out in outs:
        found = dict(np.load(out))
        assert found["devices"] == 8
        assert_same(found, single(ALL))


@pytest.mark.parametrize(
    ("mode", "message"), [("pmaps", "choose one of none, pmap, sharded"), ("pmap", None), ("sharded", None)]
)
def test_modes_and_batches_that_devices_cannot_share_are_refused(mode, message, monkeypatch):
    monkeypatch.setattr("jax.device_count", lambda: 3)
    with pytest.raises(ValueError, match=message or "batch_size 16: no multiple of the 3 devices"):
        run_devices(mode, 16)
