"""Runs on several devices that are killed, again and again, and runs of several processes that are told to end: each
ends as the uninterrupted one, bit by bit."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time

import photo_tables
import pytest
from finished_runs import assert_same_model
from host_devices import host_devices
from killed_run import STEPS
from places import SUPPORT

SCRIPT = SUPPORT / "killed_run.py"
KILLS = 20

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return photo_tables.write_photo_table(tmp_path_factory.mktemp("photos"), count=40, side=40)


def start(table, workdir, mode, devices, *distributed):
    flags = host_devices(devices)
    environment = {**os.environ, **flags, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    command = [sys.executable, str(SCRIPT), *map(str, (table, workdir, mode, *distributed))]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def end(process, status=0):
    output = process.communicate(timeout=280)[0]
    assert process.returncode == status, output[-3000:]
    return output


def steps(workdir):
    log = workdir / "metrics.jsonl"
    return log.read_text().count("\n") if log.exists() else 0


def wait_for(count, workdir, *processes):
    """Until `count` steps are logged; False where a process ends before, or nothing comes for five minutes."""
    end = time.monotonic() + 300
    while steps(workdir) < count:
        if any(process.poll() is not None for process in processes) or time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def assert_same_run(found, expected):
    """Weights and the losses of all steps, bit by bit."""
    assert_same_model(found, expected)
    lines = [[json.loads(line) for line in (f / "metrics.jsonl").read_text().splitlines()] for f in (found, expected)]
    assert [(line["step"], line["loss"]) for line in lines[0]] == [(line["step"], line["loss"]) for line in lines[1]]
    assert len(lines[0]) == STEPS


@pytest.mark.parametrize("mode", ["pmap", "sharded"])
def test_a_run_killed_twenty_times_ends_as_the_uninterrupted_one(mode, table, tmp_path):
    end(start(table, tmp_path / "whole", mode, 4))
    draw, killed, kills, reached = random.Random(mode), tmp_path / "killed", 0, []
    while kills < KILLS:
        process = start(table, killed, mode, 4)
        begun = steps(killed)
        more = draw.randrange(4)
        if not wait_for(begun + more, killed, process):
            break
        time.sleep(draw.uniform(0, 0.06 if more else 5))  # somewhere in a step, or while it starts
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "it ended before it was killed"
        kills += 1
        reached.append(steps(killed))
    assert kills == KILLS, f"ended after {reached}"
    assert not (killed / "model" / "model.json").exists()
    end(start(table, killed, mode, 4))
    assert_same_run(killed, tmp_path / "whole")


@pytest.mark.parametrize("mode", ["pmap", "sharded"])
def test_several_processes_that_are_told_to_end_lose_no_step(mode, table, tmp_path):
    def begin(folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            coordinator = f"127.0.0.1:{free.getsockname()[1]}"
        return [start(table, tmp_path / folder, mode, 2, coordinator, 2, i) for i in range(2)]

    alive = []
    try:
        for process in (alive := begin("whole")):
            end(process)
        alive = begin("told")
        assert wait_for(7, tmp_path / "told", *alive)
        for process in alive:
            process.send_signal(signal.SIGTERM)
        (said,) = {end(process, 143).splitlines()[-1] for process in alive}
        ended = steps(tmp_path / "told")
        assert 7 <= ended < STEPS
        assert said == f"ended by SIGTERM after step {ended} of {STEPS}; the same command goes on from it"
        for process in (alive := begin("told")):
            end(process)
    finally:
        for process in alive:
            process.kill()
    assert_same_run(tmp_path / "told", tmp_path / "whole")
