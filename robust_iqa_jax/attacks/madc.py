"""MADC: sign steps along the part of the score's gradient that leaves the RMSE to the clean image as it is.
MSU's benchmark, method madc (docs/sources.md 4.4), after maximum differentiation, Wang and Simoncelli 2008."""

from dataclasses import KW_ONLY
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from robust_iqa_jax.attacks.arguments import Images
from robust_iqa_jax.attacks.ascent import Result, ascend
from robust_iqa_jax.attacks.ball import Perturbation, in_range
from robust_iqa_jax.attacks.core import Attack
from robust_iqa_jax.attacks.objective import Direction, ScoreFunction, objective
from robust_iqa_jax.attacks.settings import traced

_IMAGE = (1, 2, 3)


@traced("steps", "step_size", "rmse", "restoring_step")
class MADC(Attack):
    """Sign steps along the gradient less its part along the perturbation, which is the direction of the RMSE's.

    After each step pixels are clipped to [0,1], then moved back by `restoring_step` until the RMSE fits; a pixel
    nearer than that to its clean value returns to it. (MSU's lets it jump to the other side, and can go on for ever.)
    With the published settings 8 steps of 0.001 never reach the budget; take more or larger ones to use it.

    Attributes:
      step_size: in [0,1] units, > 0.
      rmse: largest root mean square change over an image's pixels and channels, in [0,1] units, > 0.
      restoring_step: in [0,1] units, > 0.
    """

    kind = "madc"
    steps: Any = 8
    step_size: Any = 0.001
    _: KW_ONLY
    rmse: Any = 10 / 255
    restoring_step: Any = 0.0005
    direction: Direction = "raise"

    def perturb(self, scorer: ScoreFunction, keys: Array, images: Images) -> Result:
        """The attack as a pure function; the keys are not used."""
        target = objective(scorer, images, self.direction)

        def along_the_sphere(gradient: Perturbation, perturbation: Perturbation) -> Perturbation:
            squared = _inner(perturbation, perturbation)
            part = _inner(gradient, perturbation) / jnp.where(squared > 0, squared, 1)
            return self.step_size * jnp.sign(gradient - part * perturbation)

        def project(perturbation: Perturbation) -> Perturbation:
            return self._restore(in_range(images, perturbation))

        rule: Any = optax.stateless(along_the_sphere)  # pyright: ignore[reportArgumentType]
        result = ascend(target, images, jnp.zeros_like(images), self.steps, rule, project)
        return result._replace(images=jnp.clip(images + result.images, 0, 1))

    def _restore(self, perturbation: Perturbation) -> Perturbation:
        def outside(perturbation: Perturbation) -> Array:
            return jnp.sqrt((perturbation**2).mean(_IMAGE, keepdims=True)) > self.rmse

        def back(perturbation: Perturbation) -> Perturbation:
            step = jnp.clip(perturbation, -self.restoring_step, self.restoring_step)
            return jnp.where(outside(perturbation), perturbation - step, perturbation)

        return jax.lax.while_loop(lambda perturbation: outside(perturbation).any(), back, perturbation)


def _inner(x: Perturbation, y: Perturbation) -> Array:
    return (x * y).sum(_IMAGE, keepdims=True)
