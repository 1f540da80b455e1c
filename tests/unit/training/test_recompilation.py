"""A step whose program is compiled again is warned of, once."""

import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_iqa_jax.devices import run_devices
from robust_iqa_jax.training.guards import compiled_once
from robust_iqa_jax.training.loop import on_devices

SHORTEST = "jax_persistent_cache_min_compile_time_secs"


def doubled(state, inputs, scores):
    return state + 1, {"loss": 2 * inputs.sum() + scores.sum()}


@pytest.mark.parametrize("mode", ["none", "pmap", "sharded"])
def test_the_step_of_every_mode_is_compiled_once(mode):
    devices = run_devices(mode, 4)
    batch = devices.parts(np.ones((4, 2), np.float32)), devices.parts(np.ones(4, np.float32))
    state = on_devices(devices, jnp.int32(0))
    with compiled_once(devices.compile(doubled)) as step, warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            state, metrics = step(state, *batch)
        jax.jit(lambda x: x + 3)(jnp.ones(5))  # what others compile between steps does not count
        state, _ = step(state, *batch)
    assert float(devices.one(metrics)["loss"]) == 20
    assert int(devices.one(state)) == 4


def test_a_new_shape_is_warned_of_once():
    with compiled_once(jax.jit(doubled)) as step:
        step(0, jnp.ones((4, 2)), jnp.ones(4))
        with pytest.warns(RuntimeWarning, match="training step: compiled again at call 2; do shapes"):
            step(0, jnp.ones((4, 3)), jnp.ones(4))
        step(0, jnp.ones((4, 4)), jnp.ones(4))  # a second warning would be an error here


@pytest.fixture
def all_programs_kept():
    before = getattr(jax.config, SHORTEST)
    jax.config.update(SHORTEST, 0)
    yield
    jax.config.update(SHORTEST, before)


@pytest.mark.parametrize(("mode", "kept"), [("none", True), ("sharded", True), ("pmap", False)])
def test_a_pmapped_step_is_compiled_anew_by_each_process_on_cpu(mode, kept, all_programs_kept):
    """JAX's persistent cache gives back one that deadlocks."""
    new = float(np.random.default_rng().random())  # no program of an earlier run has it
    devices, folder = run_devices(mode, 4), Path(jax.config.jax_compilation_cache_dir)
    batch = devices.parts(np.ones((4, 2), np.float32)), devices.parts(np.ones(4, np.float32))
    state = on_devices(devices, jnp.float32(0))
    before = {file.name for file in folder.iterdir()}
    devices.compile(lambda state, inputs, scores: (state + new, {"loss": inputs.sum() + scores.sum()}))(state, *batch)
    assert bool({file.name for file in folder.iterdir()} - before) == kept
    assert getattr(jax.config, SHORTEST) == 0
