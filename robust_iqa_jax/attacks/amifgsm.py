"""AMI-FGSM on a quality score: momentum steps of eps / steps, which together cannot leave the ball.
MSU's methods/amifgsm/run.py (docs/sources.md 4.1)."""

from dataclasses import KW_ONLY
from functools import partial
from typing import Any

import jax.numpy as jnp
import optax
from jaxtyping import Array

from robust_iqa_jax.attacks.arguments import Images, check_count, check_positive
from robust_iqa_jax.attacks.ball import BALLS, Norm, check_norm, in_range, norm_suffix
from robust_iqa_jax.attacks.core import Attack, Found, along, ascend, traced
from robust_iqa_jax.attacks.objective import Direction, ScoreFunction, check_direction, direction_suffix, objective
from robust_iqa_jax.checks import check_eps


@traced("eps", "steps", "momentum")
class AMIFGSM(Attack):
    """MI-FGSM on raw gradients without a projection: `steps` steps of eps / steps sum to at most eps.

    Beside the step, what differs from attacks.mifgsm(normalise=False) is the image range: here each iterate is cut to
    [0,1], so a step back from black or white moves the pixel at once; there only what the scorer sees is cut.

    Attributes:
      eps: largest change of a pixel (or length, for l2), in [0,1] units, > 0.
      steps: iterations, >= 1.
      momentum: decay of the sum of gradients, > 0; 1 in MSU.
      direction: which way scores are pushed, see attacks.objective.
      norm: "linf" or "l2".

    Raises:
      ValueError: a number that is not positive, unknown names.
    """

    eps: Any = 10 / 255
    steps: Any = 10
    _: KW_ONLY
    momentum: Any = 1.0
    direction: Direction = "raise"
    norm: Norm = "linf"

    def __post_init__(self) -> None:
        """Check the settings."""
        check_count(steps=self.steps)
        check_eps(self.eps, self.norm)
        check_positive(momentum=self.momentum)
        check_direction(self.direction)
        check_norm(self.norm)

    @property
    def name(self) -> str:
        """ "amifgsm-10", "amifgsm-10-l2-lower" and the like."""
        return f"amifgsm-{int(self.steps)}{norm_suffix(self.norm)}" + direction_suffix(self.direction)

    def perturb(self, scorer: ScoreFunction, keys: Array, images: Images) -> Found:
        """The attack as a pure function; draws nothing from the keys."""
        wanted = objective(scorer, images, self.direction)
        ball, eps = BALLS[self.norm], jnp.asarray(self.eps, images.dtype)
        rule = optax.chain(optax.trace(self.momentum), along(ball.steepest, eps / self.steps))
        found = ascend(wanted, images, jnp.zeros_like(images), self.steps, rule, partial(in_range, images))
        return found._replace(images=ball.finish(images, found.images, eps))  # rounding only
