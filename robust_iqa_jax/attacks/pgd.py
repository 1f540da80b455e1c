"""PGD on a quality score: projected steepest steps inside a ball from random starts.
Madry et al. 2018 (arXiv 1706.06083) in the form of the paper's KonCept branch (docs/sources.md 4.1, A-Kon)."""

from dataclasses import KW_ONLY
from functools import partial
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array

from robust_iqa_jax.attacks.arguments import Images, check_choice, check_count
from robust_iqa_jax.attacks.ball import BALLS, Norm, check_norm, norm_suffix
from robust_iqa_jax.attacks.core import Attack, Found, along, ascend, traced
from robust_iqa_jax.attacks.objective import Direction, ScoreFunction, check_direction, direction_suffix, objective
from robust_iqa_jax.attacks.restarts import check_restarts, strongest
from robust_iqa_jax.checks import check_eps

Variant = Literal["a-kon", "authors-linearity"]

AUTHORS_BUDGET = 10 / 255
"""Fixed ball of the authors' LinearityIQA runs, in which "eps" is the step size."""


@traced("eps", "steps")
class PGD(Attack):
    """Projected gradient ascent on the score.

    Start uniform in the ball, step 1.25 eps for one iteration and 2.5 eps / steps otherwise, projection after each
    step, final clip to [0,1].

    Attributes:
      eps: largest change of a pixel (or length, for l2), in [0,1] units, > 0.
      steps: iterations, >= 1.
      direction: which way scores are pushed, see attacks.objective.
      norm: "linf" or "l2".
      restarts: random starts, of which each image keeps the strongest result; the first is that of restarts=1.
      random_start: False starts at the clean image, and leaves nothing to restart.
      keep_best: keep each image's strongest iterate instead of the last one.
      variant: "authors-linearity" reproduces the authors' LinearityIQA runs (eps is a step size, ball 10/255, linf).

    Raises:
      ValueError: a number that is not positive, unknown names, restarts without random starts.
    """

    eps: Any = 4 / 255
    steps: Any = 8
    _: KW_ONLY
    direction: Direction = "raise"
    norm: Norm = "linf"
    restarts: int = 1
    random_start: bool = True
    keep_best: bool = False
    variant: Variant = "a-kon"

    def __post_init__(self) -> None:
        """Check the settings."""
        check_count(steps=self.steps)
        check_eps(self.eps, self.norm)
        check_restarts(self.restarts, self.random_start)
        check_direction(self.direction)
        check_norm(self.norm)
        check_choice("variant", self.variant, get_args(Variant))
        plain = (self.norm, self.restarts, self.keep_best) == ("linf", 1, False)
        if self.variant != "a-kon" and not plain:
            raise ValueError(f"attack: variant {self.variant} is linf, without restarts, and keeps the last iterate")

    @property
    def name(self) -> str:
        """ "pgd-8", "pgd-8-l2", "pgd-8-restarts5" and the like."""
        parts = [f"pgd-{int(self.steps)}" + norm_suffix(self.norm)]
        parts += [f"restarts{self.restarts}"] if self.restarts > 1 else []
        parts += ["best"] if self.keep_best else []
        parts += [self.variant] if self.variant != "a-kon" else []
        return "-".join(parts) + direction_suffix(self.direction)

    def perturb(self, scorer: ScoreFunction, keys: Array, images: Images) -> Found:
        """The attack as a pure function; one key an image."""
        wanted = objective(scorer, images, self.direction)
        if self.variant == "authors-linearity":
            return self._authors_linearity(wanted, keys, images)
        ball, eps = BALLS[self.norm], jnp.asarray(self.eps, images.dtype)
        rule = along(ball.steepest, step_size(eps, self.steps))

        def attempt(keys: Array) -> Found:
            start = ball.draw(keys, images, eps) if self.random_start else jnp.zeros_like(images)
            project = lambda perturbation: ball.project(perturbation, eps)  # noqa: E731
            found = ascend(wanted, images, start, self.steps, rule, project, keep_best=self.keep_best)
            return found._replace(images=ball.finish(images, found.images, eps))

        return strongest(attempt, wanted, keys, images, self.restarts)

    def _authors_linearity(self, wanted: ScoreFunction, keys: Array, images: Images) -> Found:
        """Start U(0,1) cut to +-10/255, steps of `eps`, the ball enforced before each gradient but not at the end."""
        draw = partial(jax.random.uniform, shape=images.shape[1:], dtype=images.dtype)
        project = partial(jnp.clip, min=-AUTHORS_BUDGET, max=AUTHORS_BUDGET)
        start = project(jax.vmap(draw)(keys)) if self.random_start else jnp.zeros_like(images)
        rule = along(jnp.sign, jnp.asarray(self.eps, images.dtype))
        inside = ascend(wanted, images, start, self.steps - 1, rule, project)
        last = ascend(wanted, images, inside.images, 1, rule, lambda perturbation: perturbation)
        return Found(jnp.clip(images + last.images, 0, 1), last.finite, inside.alive | last.alive)


def step_size(eps: Array, steps: Any) -> Array:
    """1.25 eps for one iteration, else 2.5 eps / steps."""
    return jnp.where(steps == 1, 1.25 * eps, 2.5 * eps / steps)
