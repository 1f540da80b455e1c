"""Every option that a command lists does something: its value is looked at, and every benchmark writes a trace."""

import ast
import dataclasses
import importlib
import inspect

import jax
import jax.numpy as jnp
import pytest

from robust_iqa_jax import commands, labels
from robust_iqa_jax.benchmarks.rows import Output
from robust_iqa_jax.cli import COMMANDS, main
from robust_iqa_jax.commands import arguments
from robust_iqa_jax.commands.bench import BENCHES

COLUMNS = set(labels.COLUMNS)
"""Read by arguments.columns, by name."""


def looked_at(*modules):
    """Names of attributes that the modules read of anything."""
    trees = [ast.parse(inspect.getsource(module)) for module in modules]
    return {node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - {"bench", "train"}))
def test_every_option_of_a_command_is_looked_at(name):
    module = importlib.import_module(f"{commands.__name__}.{name}")
    (kind,) = [value for key, value in vars(module).items() if key.lower() == f"{name}args"]
    options = {field.name for field in dataclasses.fields(kind)}
    if name == "study":  # by name, as what replaces the configuration's
        assert options - looked_at(module) <= {"data", "test_group", *COLUMNS}
        return
    assert options - looked_at(module) <= (COLUMNS if "columns(given)" in inspect.getsource(module) else set())


def test_every_field_of_a_training_configuration_is_looked_at():
    from robust_iqa_jax.commands import train
    from robust_iqa_jax.data import pipeline
    from robust_iqa_jax.training import (
        config,
        linearity,
        loop,
        objectives,
        optimizer,
        photos,
        pruning,
        run,
        start,
        step,
        validation,
    )

    modules = (train, pipeline, linearity, loop, objectives, optimizer, photos, pruning, run, start, step, validation)
    assert {field.name for field in dataclasses.fields(config.TrainConfig)} <= looked_at(*modules)


def test_columns_are_passed_on_by_name():
    @dataclasses.dataclass
    class Given:
        image_column: str | None = "file"
        score_column: str | None = None
        group_column: str | None = "fold"
        image_dir: str | None = None

    assert arguments.columns(Given()) == {"image_column": "file", "group_column": "fold"}


@pytest.mark.parametrize("name", BENCHES)
def test_every_option_of_a_benchmark_is_looked_at_and_its_trace_is_written(name, tmp_path, monkeypatch):
    from robust_iqa_jax.benchmarks import rows

    bench = importlib.import_module(f"robust_iqa_jax.benchmarks.{name}")
    by_name = {"training": {"data", "test_group", "batch_size"}, "growth": {"side", "channels"}}.get(name, set())
    assert {field.name for field in dataclasses.fields(bench.Args)} - looked_at(bench) <= by_name
    assert {field.name for field in dataclasses.fields(Output)} - {"trace"} <= looked_at(rows)

    def small_run(given):
        jax.block_until_ready(jax.jit(lambda x: x + 1)(jnp.ones(3)))

    monkeypatch.setattr(bench, "main", small_run)
    needed = ["--config", "clive_lite0"] if name == "training" else []
    assert main(["bench", name, *needed, "--trace", str(tmp_path / "trace")]) == 0
    assert list((tmp_path / "trace").rglob("*.xplane.pb"))


@pytest.mark.slow
def test_the_trace_of_a_real_benchmark_holds_its_calls(tmp_path, capsys):
    small = ["--case", "small", "--batch", "1", "--sides", "4", "--channels", "2", "--repeats", "1"]
    assert main(["bench", "fft_core", *small, "--trace", str(tmp_path), "--json", str(tmp_path / "rows.json")]) == 0
    (trace,) = tmp_path.rglob("*.xplane.pb")
    assert trace.stat().st_size > 10_000
