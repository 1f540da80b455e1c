"""I-FGSM on a quality score: small steepest steps from the clean image, kept in the ball.
Kurakin et al. 2017 (arXiv 1607.02533) as in MSU's methods/ifgsm/run.py and NT's FGSM_demo.py (docs/sources.md 4.1)."""

from dataclasses import KW_ONLY
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from robust_iqa_jax.attacks.arguments import Images, check_count, check_positive
from robust_iqa_jax.attacks.ball import BALLS, Norm, check_norm, norm_suffix
from robust_iqa_jax.attacks.core import Attack, Found, along, ascend, traced
from robust_iqa_jax.attacks.objective import Direction, ScoreFunction, check_direction, direction_suffix, objective
from robust_iqa_jax.checks import check_eps


@traced("eps", "steps", "step_size")
class IFGSM(Attack):
    """Iterative fast gradient sign method, the basic iterative method: PGD with a small step and without random start.

    MSU's is ifgsm(10/255, 10). What NT's demo calls FGSM is ifgsm(0.03, 1, step_size=0.01, direction="opposite"): one
    step, a third of the way to the edge of its ball.

    Attributes:
      eps: largest change of a pixel (or length, for l2), in [0,1] units, > 0.
      steps: iterations, >= 1.
      step_size: in the same units, > 0; None is eps / 10, MSU's 1/255 at 10/255. Fewer than ten such steps do not
        reach the edge of the ball.
      direction: which way scores are pushed, see attacks.objective.
      norm: "linf" or "l2".

    Raises:
      ValueError: a number that is not positive, unknown names.
    """

    eps: Any = 10 / 255
    steps: Any = 10
    _: KW_ONLY
    step_size: Any = None
    direction: Direction = "raise"
    norm: Norm = "linf"

    def __post_init__(self) -> None:
        """Check the settings."""
        check_count(steps=self.steps)
        check_eps(self.eps, self.norm)
        check_positive(step_size=self.step_size)
        check_direction(self.direction)
        check_norm(self.norm)

    @property
    def name(self) -> str:
        """ "ifgsm-10", "ifgsm-10-l2-lower" and the like."""
        return f"ifgsm-{int(self.steps)}{norm_suffix(self.norm)}" + direction_suffix(self.direction)

    def perturb(self, scorer: ScoreFunction, keys: Array, images: Images) -> Found:
        """The attack as a pure function; draws nothing from the keys."""
        wanted = objective(scorer, images, self.direction)
        ball, eps = BALLS[self.norm], jnp.asarray(self.eps, images.dtype)
        size = eps / 10 if self.step_size is None else jnp.asarray(self.step_size, images.dtype)
        rule = along(ball.steepest, size)
        project = lambda perturbation: ball.project(perturbation, eps)  # noqa: E731
        found = ascend(wanted, images, jnp.zeros_like(images), self.steps, rule, project)
        return found._replace(images=ball.finish(images, found.images, eps))
