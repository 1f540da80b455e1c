"""FGSM on a quality score: one steepest step from the clean image to the edge of the ball.
Goodfellow et al. 2015 (arXiv 1412.6572) as in MSU's std-FGSM, methods/std-fgsm/run.py (docs/sources.md 4.1)."""

from dataclasses import KW_ONLY
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from robust_iqa_jax.attacks.arguments import Images
from robust_iqa_jax.attacks.ball import BALLS, Norm, check_norm, norm_suffix
from robust_iqa_jax.attacks.core import Attack, Found, along, ascend, traced
from robust_iqa_jax.attacks.objective import Direction, ScoreFunction, check_direction, direction_suffix, objective
from robust_iqa_jax.checks import check_eps


@traced("eps")
class FGSM(Attack):
    """Fast gradient sign method: x + eps sign(gradient), clipped to [0,1]; with norm="l2" the fast gradient method.

    The attack that NT's demo calls FGSM has steps smaller than its ball: see attacks.ifgsm.

    Attributes:
      eps: change of a pixel (or length, for l2), in [0,1] units, > 0; 10/255 is MSU's.
      direction: which way scores are pushed, see attacks.objective.
      norm: "linf" or "l2".

    Raises:
      ValueError: an eps that `checks.check_eps` refuses, unknown names.
    """

    eps: Any = 10 / 255
    _: KW_ONLY
    direction: Direction = "raise"
    norm: Norm = "linf"

    def __post_init__(self) -> None:
        """Check the settings."""
        check_eps(self.eps, self.norm)
        check_direction(self.direction)
        check_norm(self.norm)

    @property
    def name(self) -> str:
        """ "fgsm", "fgsm-l2-lower" and the like."""
        return "fgsm" + norm_suffix(self.norm) + direction_suffix(self.direction)

    def perturb(self, scorer: ScoreFunction, keys: Array, images: Images) -> Found:
        """The attack as a pure function; draws nothing from the keys."""
        wanted = objective(scorer, images, self.direction)
        ball, eps = BALLS[self.norm], jnp.asarray(self.eps, images.dtype)
        found = ascend(wanted, images, jnp.zeros_like(images), 1, along(ball.steepest, eps), lambda step: step)
        return found._replace(images=ball.finish(images, found.images, eps))
