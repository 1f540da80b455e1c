"""A training step in bfloat16 beside the same one in float32."""

import dataclasses
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from quick_models import quick_jit

from robust_iqa_jax.models.registry import init
from robust_iqa_jax.models.spec import ModelSpec
from robust_iqa_jax.training.config import TrainConfig
from robust_iqa_jax.training.run import resolve
from robust_iqa_jax.training.step import init_state, train_step

pytestmark = pytest.mark.usefixtures("tiny_photos")

SPEC = ModelSpec(backbone="tiny", taps=("first", "second"), input_size=(24, 24))
CONFIG = TrainConfig(model=SPEC, batch_size=8, loss="squared", ema=0.9)
RNG = np.random.default_rng(0)


IMAGES = RNG.integers(0, 256, (8, 24, 24, 3), np.uint8)
SCORES = np.linspace(-1, 1, 8, dtype=np.float32)


def step_in(dtype, variables):
    """The program's text, then state and metrics after one step of it."""
    config = dataclasses.replace(CONFIG, compute_dtype=dtype)
    optimizer = optax.sgd(1.0)
    arguments = init_state(variables, optimizer, {}, averages=True), IMAGES, SCORES
    run = dataclasses.replace(resolve(config, SCORES), optimizer=optimizer)
    lowered = quick_jit(partial(train_step, run)).lower(*arguments)
    return lowered.as_text(), *lowered.compile()(*arguments)


@pytest.mark.slow
def test_convolutions_run_in_bfloat16_and_what_they_learn_stays_close_to_float32():
    variables = quick_jit(init, static_argnums=0)(SPEC, jax.random.key(0))
    text, narrow, metrics = step_in("bfloat16", variables)
    plain, wide, expected = step_in("float32", variables)
    assert not re.search("bf16", plain)
    assert re.search(r"stablehlo\.convolution.*bf16", text)
    assert all(leaf.dtype in (jnp.float32, jnp.int32) for leaf in jax.tree.leaves(narrow))
    assert metrics["loss"].dtype == jnp.float32
    # bfloat16 has 8 bits
    np.testing.assert_allclose(metrics["loss"], expected["loss"], rtol=0.02)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=0.02, atol=0.01), narrow.batch_stats, wide.batch_stats
    )
    moved = [
        np.concatenate(jax.tree.leaves(jax.tree.map(lambda a, b: np.ravel(a - b), state.params, variables["params"])))
        for state in (narrow, wide)
    ]
    assert np.dot(*moved) / np.linalg.norm(moved[0]) / np.linalg.norm(moved[1]) > 0.99


def test_architectures_that_it_was_not_tried_on_are_refused():
    config = dataclasses.replace(CONFIG, compute_dtype="bfloat16", model=ModelSpec("tres", "resnet50", ()), loss=None)
    with pytest.raises(ValueError, match="compute_dtype: only LinearityIQA has it, not tres"):
        resolve(config, SCORES)
