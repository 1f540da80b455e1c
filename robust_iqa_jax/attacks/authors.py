"""Attacks of published code whose "eps" is the size of a step in a ball that is fixed: kept to repeat its numbers.
The paper's LinearityIQA branch (docs/sources.md 4.1, A-Lin), whose PGD is another attack than that of A-Kon."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from robust_iqa_jax.attacks.arguments import Images
from robust_iqa_jax.attacks.ascent import Result, along, ascend
from robust_iqa_jax.attacks.objective import ScoreFunction

BUDGET = 10 / 255
"""The fixed ball."""


def pgd_of_linearity(
    target: ScoreFunction, keys: Array, images: Images, step_size: Any, steps: Any, random_start: bool = True
) -> Result:
    """Start U(0,1) cut to +-10/255, sign steps, the ball enforced before each gradient but not at the end.

    So nearly all pixels start at +10/255, and the result may leave the ball by one step; it is clipped to [0,1].

    Args:
      target: images -> (n,), to be raised.
      keys: one an image.
      images: clean, (n, h, w, c).
      step_size: the published "eps", in [0,1] units.
      steps: iterations, >= 1.
      random_start: False starts at the clean image.
    """
    draw = partial(jax.random.uniform, shape=images.shape[1:], dtype=images.dtype)
    project = partial(jnp.clip, min=-BUDGET, max=BUDGET)
    start = project(jax.vmap(draw)(keys)) if random_start else jnp.zeros_like(images)
    rule = along(jnp.sign, jnp.asarray(step_size, images.dtype))
    inside = ascend(target, images, start, steps - 1, rule, project)
    last = ascend(target, images, inside.images, 1, rule, lambda perturbation: perturbation)
    return Result(jnp.clip(images + last.images, 0, 1), last.finite, inside.alive | last.alive)
