"""An evaluation that was stopped anywhere and started again leaves the files of an uninterrupted one, byte by byte."""

import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import photo_tables
import pytest
import tiny_backbone
from places import SUPPORT
from quick_models import random_variables

import robust_iqa_jax as riqa
from robust_iqa_jax.evaluation.results import ResultFolder
from robust_iqa_jax.models import checkpoint
from robust_iqa_jax.models.registry import build
from robust_iqa_jax.models.scorer import Calibration, Scorer
from robust_iqa_jax.models.spec import BlockSpec, ModelSpec

FILES = ("report.json", "report.md", "per_image.csv", "perturbations.json", "tradeoff.png")


@partial(jax.tree_util.register_dataclass, data_fields=["weights"], meta_fields=[])
@dataclass(frozen=True)
class Wavy:
    weights: jax.Array

    def __call__(self, x):
        return jnp.sin(3 * (x * self.weights).sum((1, 2, 3)))


@pytest.mark.parametrize("batches", [0, 1, 4, 8])
def test_a_run_stopped_after_any_batch_ends_as_an_uninterrupted_one(batches, tmp_path):
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.uniform(0, 1, (5, 4, 4, 3)), jnp.float32)
    scorer, mos = Wavy(jnp.asarray(rng.normal(size=(4, 4, 3)), jnp.float32)), rng.uniform(size=5)
    attacks = [riqa.attacks.pgd(eps=eps, steps=steps) for eps in (0.01, 0.02) for steps in (1, 2)]

    def run(folder, on_batch=lambda images: None):
        report = riqa.evaluate(
            scorer, images, attacks=attacks, mos=mos, baseline=scorer, batch_size=3, results=folder / "cells",
            on_batch=on_batch,
        )  # fmt: skip
        report.write(folder)
        return [(folder / name).read_bytes() for name in FILES]

    done = []

    def stop(images):
        done.append(images)
        if len(done) > batches:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) if batches < 8 else nullcontext():
        run(tmp_path / "stopped", stop)
    assert not (tmp_path / "stopped" / "report.json").exists() or batches == 8
    again = []
    assert run(tmp_path / "stopped", again.append) == run(tmp_path / "whole")
    finished = batches // 2  # of four parts, each of two batches; the clean scores are one more
    assert again == [5] * finished + [3, 2] * (4 - finished)
    assert len(list((tmp_path / "stopped" / "cells").iterdir())) == 4 + 1


def test_nothing_is_scored_again_where_all_parts_are_finished(tmp_path):
    images = jnp.full((2, 4, 4, 3), 0.5).at[1].set(0.25)
    weights = jnp.ones((4, 4, 3))
    run = partial(riqa.evaluate, images=images, attacks=[riqa.attacks.pgd(steps=1)], results=ResultFolder(tmp_path))
    first = run(Wavy(weights))

    @partial(jax.tree_util.register_dataclass, data_fields=["weights"], meta_fields=[])
    @dataclass(frozen=True)
    class Refusing:
        weights: jax.Array

        def __call__(self, x):
            raise AssertionError("scored again")

    Refusing.__name__ = Wavy.__name__  # the parts of the same content
    assert repr(run(Refusing(weights)).rows) == repr(first.rows)


SUITE = """
import tiny_backbone
from robust_iqa_jax.evaluation.suite import SuiteAttack, SuiteConfig, SuiteData

tiny_backbone.kept = tiny_backbone.registered()  # the file's own names do not outlive the reading of it
tiny_backbone.kept.__enter__()

def get_config():
    attacks = (
        SuiteAttack("pgd", (0.01, 0.02), {{"steps": 2}}),
        SuiteAttack("uap", (0.02,), {{"epochs": 1}}),
        SuiteAttack("apgd", (0.02,), {{"steps": 3}}),
        SuiteAttack("jpeg"),
    )
    data = {{"photos": SuiteData({table!r}, attack_photos=3, fit_photos=2)}}
    return SuiteConfig({{"base": {base!r}, "robust": {robust!r}}}, data, attacks, batch_size=2)
"""


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_suite_killed_at_several_moments_ends_as_an_uninterrupted_one(tmp_path):
    with tiny_backbone.registered():
        for name, block in (("base", None), ("robust", BlockSpec("first", 4))):
            spec = ModelSpec(backbone="tiny", taps=("first", "second"), input_size=(32, 32), block=block)
            variables = random_variables(build(spec), (1, 32, 32, 3))
            checkpoint.save(tmp_path / name, Scorer(variables, Calibration.identity(), spec))
    table = photo_tables.write_photo_table(tmp_path, count=8, side=40)
    paths = {"table": str(table), "base": str(tmp_path / "base"), "robust": str(tmp_path / "robust")}
    (tmp_path / "suite.py").write_text(SUITE.format(**paths))
    path = [str(SUPPORT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path), "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}

    def start(out):
        command = (sys.executable, "-m", "robust_iqa_jax.cli", "evaluate", str(tmp_path / "suite.py"), "--out", out)
        return subprocess.Popen(
            [str(part) for part in command], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def finish(out):
        process = start(out)
        output = process.communicate(timeout=250)[0].decode()
        assert process.returncode == 0, output[-3000:]

    finish(tmp_path / "whole")
    cells = tmp_path / "killed" / "photos" / "cells"
    counts = []
    for wanted in (0, 1, 4, 9):
        process = start(tmp_path / "killed")
        while process.poll() is None and not (cells.is_dir() and len(list(cells.glob("*.json"))) >= wanted):
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        counts.append(len(list(cells.glob("*.json"))))
    assert counts == sorted(counts)
    written = {file.name: file.stat().st_mtime_ns for file in cells.glob("*.json")}
    finish(tmp_path / "killed")
    parts = {file.name: file.stat().st_mtime_ns for file in cells.glob("*.json")}
    assert counts[-1] < len(parts) == 2 * (5 + 1 + 1 + 1)  # attacks, pattern, clean scores, all photos
    assert {name: parts[name] for name in written} == written
    assert parts.keys() == {file.name for file in (tmp_path / "whole" / "photos" / "cells").glob("*.json")}
    for name in FILES:
        assert (tmp_path / "killed/photos" / name).read_bytes() == (tmp_path / "whole/photos" / name).read_bytes(), name
