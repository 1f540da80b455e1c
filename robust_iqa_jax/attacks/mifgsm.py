"""MI-FGSM on a quality score: I-FGSM that steps along accumulated gradients.
Dong et al. 2018 (arXiv 1710.06081, algorithm 1); with raw gradients MSU's methods/mifgsm/run.py (sources.md 4.1)."""

from dataclasses import KW_ONLY
from typing import Any, cast

import jax.numpy as jnp
import optax
from jaxtyping import Array

from robust_iqa_jax.attacks.arguments import Images, check_count, check_positive
from robust_iqa_jax.attacks.ball import BALLS, Norm, Perturbation, check_norm, norm_suffix
from robust_iqa_jax.attacks.core import Attack, Found, along, ascend, traced
from robust_iqa_jax.attacks.objective import Direction, ScoreFunction, check_direction, direction_suffix, objective
from robust_iqa_jax.checks import check_eps


@traced("eps", "steps", "step_size", "momentum")
class MIFGSM(Attack):
    """Momentum iterative fast gradient sign method, from the clean image.

    g <- momentum g + gradient / |gradient|_1, then a steepest step along g. The division weighs early and late
    gradients alike, whatever their length; MSU sums raw gradients instead. (Foolbox, a third reading, sums signs.)

    Attributes:
      eps: largest change of a pixel (or length, for l2), in [0,1] units, > 0.
      steps: iterations, >= 1.
      step_size: in the same units, > 0; None is eps / 10, MSU's 1/255 at 10/255 and the paper's eps / steps at ten
        steps. Fewer than ten such steps do not reach the edge of the ball.
      momentum: decay of what was accumulated, > 0; 1 in the paper and in MSU. (Without momentum: attacks.ifgsm.)
      normalise: divide each image's gradient by its l1 norm (Dong et al.); False is MSU.
      keep_best: keep each image's strongest iterate instead of the last one.
      direction: which way scores are pushed, see attacks.objective.
      norm: "linf" or "l2".

    Raises:
      ValueError: a number that is not positive, unknown names.
    """

    eps: Any = 10 / 255
    steps: Any = 10
    _: KW_ONLY
    step_size: Any = None
    momentum: Any = 1.0
    normalise: bool = True
    keep_best: bool = False
    direction: Direction = "raise"
    norm: Norm = "linf"

    def __post_init__(self) -> None:
        """Check the settings."""
        check_count(steps=self.steps)
        check_eps(self.eps, self.norm)
        check_positive(step_size=self.step_size, momentum=self.momentum)
        check_direction(self.direction)
        check_norm(self.norm)

    @property
    def name(self) -> str:
        """ "mifgsm-10", "mifgsm-10-raw-best-lower" and the like."""
        parts = [f"mifgsm-{int(self.steps)}" + norm_suffix(self.norm)]
        parts += ["raw"] if not self.normalise else []
        parts += ["best"] if self.keep_best else []
        return "-".join(parts) + direction_suffix(self.direction)

    def perturb(self, scorer: ScoreFunction, keys: Array, images: Images) -> Found:
        """The attack as a pure function; draws nothing from the keys."""
        wanted = objective(scorer, images, self.direction)
        ball, eps = BALLS[self.norm], jnp.asarray(self.eps, images.dtype)
        size = eps / 10 if self.step_size is None else jnp.asarray(self.step_size, images.dtype)
        scale = optax.stateless(_over_l1) if self.normalise else optax.identity()
        rule = optax.chain(scale, optax.trace(self.momentum), along(ball.steepest, size))
        project = lambda perturbation: ball.project(perturbation, eps)  # noqa: E731
        found = ascend(wanted, images, jnp.zeros_like(images), self.steps, rule, project, keep_best=self.keep_best)
        return found._replace(images=ball.finish(images, found.images, eps))


def _over_l1(gradient: Any, _: Any) -> Perturbation:
    gradient = cast(Array, gradient)
    return gradient / jnp.maximum(jnp.abs(gradient).sum((1, 2, 3), keepdims=True), jnp.finfo(gradient.dtype).tiny)
