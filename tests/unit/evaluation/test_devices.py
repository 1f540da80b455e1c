"""An evaluation shared by eight devices is the one of a single device."""

import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from host_devices import host_devices
from places import SUPPORT

from robust_iqa_jax.devices import local_devices
from robust_iqa_jax.evaluation.batches import even_batches

SCRIPT = SUPPORT / "sharded_evaluation.py"


@pytest.mark.slow
def test_eight_devices_give_the_scores_of_one_each_from_its_own_images(tmp_path):
    flags = host_devices(8)
    environment = {**os.environ, **flags, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "JAX_ENABLE_X64": "1"}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path / "out.json")], env=environment, capture_output=True, text=True,
        timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["shards"] == [[1, 32, 32, 3]] * 8
    one, *others = found["rows"].values()
    assert len(one) == 3 * 11
    scale = np.ptp([row["clean"] for row in one])
    for rows in others:
        for a, b in zip(one, rows, strict=True):
            assert {**a, "clean": 0, "attacked": 0} == {**b, "clean": 0, "attacked": 0}
            assert b["clean"] == pytest.approx(a["clean"], abs=1e-10 * scale)
            assert b["attacked"] == pytest.approx(a["attacked"], abs=1e-10 * scale)
    assert {row["attacked"] > row["clean"] for row in one if row["attack"].startswith("apgd")} == {True}


@pytest.mark.parametrize("devices", [1, 2, 8])
def test_batches_have_one_size_that_the_devices_share_and_all_images_once(devices):
    for count in range(1, 40):
        for most in (1, 3, 8):
            batches = even_batches(count, most, devices)
            (size,) = {len(batch) for batch in batches}
            assert size % devices == 0
            assert size <= most * devices
            assert np.concatenate(batches)[:count].tolist() == list(range(count))
            assert size * (len(batches) - 1) < count
            assert np.concatenate(batches).max() == count - 1


def test_more_devices_than_there_are_are_refused():
    have = jax.local_device_count()
    with pytest.raises(ValueError, match=f"devices: {have + 1} asked for, this process has {have}; give 1 to {have}"):
        local_devices(have + 1)
