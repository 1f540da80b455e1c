"""A checkpoint over the backbone of tiny_backbone.py, for tests of commands: it loads and scores in a second or two."""

import dataclasses

import jax
import jax.numpy as jnp
from quick_models import quick_jit

from robust_iqa_jax.models import checkpoint
from robust_iqa_jax.models.registry import init
from robust_iqa_jax.models.scorer import Calibration, Scorer
from robust_iqa_jax.models.spec import ModelSpec

SPEC = ModelSpec(backbone="tiny", taps=("first", "second"), input_size=(32, 32))


def write_checkpoint(folder, label="mos", block=None, **config):
    """A model with drawn weights; `config` is what its training is said to have been configured with."""
    spec = dataclasses.replace(SPEC, block=block)
    variables = quick_jit(init, static_argnums=0)(spec, jax.random.key(0))
    calibration = dataclasses.replace(Calibration.identity(), slope=jnp.float32(20), intercept=jnp.float32(50))
    scorer = Scorer(variables, calibration, spec, label)
    checkpoint.save(folder, scorer, {"config": config} if config else {})
    return folder
