"""PGD on a quality score: projected sign-gradient steps inside an linf ball from a random start.
Madry et al. 2018 (arXiv 1706.06083) in the form of the paper's KonCept branch (REFERENCE 4.1, A-Kon)."""

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array

from robust_iqa_jax.attacks.core import (
    Images,
    ScoreFunction,
    ascend,
    checked_positive,
    launch,
    sign_step,
    uniform_in_ball,
)

Direction = Literal["raise", "lower"]
Variant = Literal["a-kon", "authors-linearity"]

AUTHORS_BUDGET = 10 / 255
"""Fixed ball of the authors' LinearityIQA runs, in which "eps" is the step size."""


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["eps", "steps"],
    meta_fields=["direction", "variant", "random_start"],
)
@dataclass(frozen=True)
class PGD:
    """A configured PGD; make it with `pgd`. eps and steps are traced: sweeping them compiles once."""

    eps: Any
    steps: Any
    direction: Direction
    variant: Variant
    random_start: bool

    @property
    def name(self) -> str:
        """ "pgd-8" and the like."""
        return f"pgd-{int(self.steps)}" + ("" if self.variant == "a-kon" else f"-{self.variant}")

    def replace(self, **changes: Any) -> "PGD":
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def __call__(self, scorer: ScoreFunction, key: Array, images: Images) -> Images:
        """Adversarial images: same shape, inside the ball, in [0,1]; see attacks.core.launch for the arguments."""
        return launch(self, scorer, key, images)

    def perturb(self, scorer: ScoreFunction, keys: Array, images: Images) -> Images:
        """The attack as a pure function; one key an image."""
        sign = 1.0 if self.direction == "raise" else -1.0
        objective = lambda x: sign * scorer(x)  # noqa: E731
        if self.variant == "authors-linearity":
            return self._authors_linearity(objective, keys, images)
        eps = jnp.asarray(self.eps, images.dtype)
        size = jnp.where(self.steps == 1, 1.25 * eps, 2.5 * eps / self.steps)
        start = uniform_in_ball(keys, images, eps) if self.random_start else jnp.zeros_like(images)
        project = partial(jnp.clip, min=-eps, max=eps)
        perturbation = ascend(objective, images, start, self.steps, sign_step(size), project)
        # Bounds once more: images + perturbation rounds, and may leave the ball by one unit in the last place.
        return jnp.clip(images + perturbation, jnp.maximum(images - eps, 0), jnp.minimum(images + eps, 1))

    def _authors_linearity(self, objective: ScoreFunction, keys: Array, images: Images) -> Images:
        """Start U(0,1) cut to +-10/255, steps of `eps`, the ball enforced before each gradient but not at the end."""
        draw = partial(jax.random.uniform, shape=images.shape[1:], dtype=images.dtype)
        project = partial(jnp.clip, min=-AUTHORS_BUDGET, max=AUTHORS_BUDGET)
        start = project(jax.vmap(draw)(keys)) if self.random_start else jnp.zeros_like(images)
        rule = sign_step(jnp.asarray(self.eps, images.dtype))
        inside = ascend(objective, images, start, self.steps - 1, rule, project)
        last = ascend(objective, images, inside, 1, rule, lambda perturbation: perturbation)
        return jnp.clip(images + last, 0, 1)


def pgd(
    eps: float = 4 / 255,
    steps: int = 8,
    *,
    direction: Direction = "raise",
    variant: Variant = "a-kon",
    random_start: bool = True,
) -> PGD:
    """Projected gradient ascent on the score.

    Start uniform in +-eps, step 1.25 eps for one iteration and 2.5 eps / steps otherwise, projection after each step,
    final clip to [0,1].

    Args:
      eps: largest change of a pixel, in [0,1] units, > 0.
      steps: iterations, >= 1.
      direction: "raise" or "lower" the score.
      variant: "authors-linearity" reproduces the authors' LinearityIQA runs (eps is a step size, ball 10/255).
      random_start: False starts at the clean image.

    Returns:
      callable (scorer, key, images) -> images.

    Raises:
      ValueError: eps or steps not positive, unknown direction or variant.
    """
    checked_positive("eps", eps)
    checked_positive("steps", steps)
    for name, value, allowed in (("direction", direction, Direction), ("variant", variant, Variant)):
        if value not in get_args(allowed):
            raise ValueError(f"pgd: unknown {name} {value!r}; choose one of {', '.join(get_args(allowed))}")
    return PGD(eps, steps, direction, variant, random_start)
