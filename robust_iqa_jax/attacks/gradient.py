"""Steepest steps on a quality score inside a ball: FGSM, I-FGSM, MI-FGSM, AMI-FGSM and PGD, settings of one loop.
What sets them apart is the start, the step and how the ball is kept; sources stand at each (docs/sources.md 4.1)."""

from dataclasses import KW_ONLY
from functools import partial
from typing import Any, Literal, cast

import jax.numpy as jnp
import optax
from jaxtyping import Array

from robust_iqa_jax.attacks.arguments import Images
from robust_iqa_jax.attacks.ascent import Result, along, ascend
from robust_iqa_jax.attacks.authors import pgd_of_linearity
from robust_iqa_jax.attacks.ball import Ball, Norm, Perturbation, in_range
from robust_iqa_jax.attacks.core import Attack
from robust_iqa_jax.attacks.objective import Direction, ScoreFunction, objective
from robust_iqa_jax.attacks.restarts import strongest
from robust_iqa_jax.attacks.settings import traced


class SteepestAscent(Attack):
    """Projected steepest ascent: from a start, `steps` times gradient, `step_rule` and `project`, then into the ball.

    An attack of this kind gives its step's `size`, and replaces what else it does differently.
    """

    steps: Any = 1
    step_size: Any = None
    random_start: bool = False
    restarts: int = 1
    keep_best: bool = False

    def size(self, eps: Array) -> Array:
        """Length of a step where `step_size` is None."""
        return eps

    def step_rule(self, ball: Ball, eps: Array) -> optax.GradientTransformation:
        """Turns gradients into steps."""
        size = self.size(eps) if self.step_size is None else jnp.asarray(self.step_size, eps.dtype)
        return along(ball.steepest, size)

    def project(self, images: Images, ball: Ball, eps: Array, perturbation: Perturbation) -> Perturbation:
        """Applied after each step."""
        return ball.project(perturbation, eps)

    def perturb(self, scorer: ScoreFunction, keys: Array, images: Images) -> Result:
        """The attack as a pure function; a random start takes one key an image."""
        target = objective(scorer, images, self.direction)
        ball, eps = self.ball(images)

        def attempt(keys: Array) -> Result:
            start = ball.draw(keys, images, eps) if self.random_start else jnp.zeros_like(images)
            project = partial(self.project, images, ball, eps)
            rule = self.step_rule(ball, eps)
            result = ascend(target, images, start, self.steps, rule, project, keep_best=self.keep_best)
            return result._replace(images=ball.finish(images, result.images, eps))

        return strongest(attempt, target, keys, images, self.restarts)


@traced("eps")
class FGSM(SteepestAscent):
    """Fast gradient sign method: x + eps sign(gradient), clipped to [0,1]; with norm="l2" the fast gradient method.

    One steepest step from the clean image to the edge of the ball: Goodfellow et al. 2015 (arXiv 1412.6572) as in MSU's
    methods/std-fgsm/run.py, whose eps is 10/255. The attack that NT's demo calls FGSM has steps smaller than its ball:
    see attacks.ifgsm.
    """

    kind = "fgsm"
    eps: Any = 10 / 255
    _: KW_ONLY
    direction: Direction = "raise"
    norm: Norm = "linf"

    @property
    def effort(self) -> str:
        """Nothing: it is always one step."""
        return ""


@traced("eps", "steps", "step_size")
class IFGSM(SteepestAscent):
    """Iterative fast gradient sign method, the basic iterative method: PGD with a small step and without random start.

    Kurakin et al. 2017 (arXiv 1607.02533); MSU's methods/ifgsm/run.py is ifgsm(10/255, 10). What NT's FGSM_demo.py
    calls FGSM is ifgsm(0.03, 1, step_size=0.01, direction="opposite"): one step, a third of the way to the edge.

    Attributes:
      step_size: None is eps / 10, MSU's 1/255 at 10/255. Fewer than ten such steps do not reach the edge of the ball.
    """

    kind = "i-fgsm"
    eps: Any = 10 / 255
    steps: Any = 10
    _: KW_ONLY
    step_size: Any = None
    direction: Direction = "raise"
    norm: Norm = "linf"

    def size(self, eps: Array) -> Array:
        """A tenth of the ball."""
        return eps / 10


@traced("eps", "steps", "step_size", "momentum")
class MIFGSM(SteepestAscent):
    """Momentum iterative fast gradient sign method, from the clean image: I-FGSM along accumulated gradients.

    g <- momentum g + gradient / |gradient|_1, then a steepest step along g (Dong et al. 2018, arXiv 1710.06081,
    algorithm 1). The division weighs early and late gradients alike, whatever their length; MSU's methods/mifgsm/run.py
    sums raw gradients instead. (Foolbox, a third reading, sums signs.)

    Attributes:
      step_size: None is eps / 10, MSU's 1/255 at 10/255 and the paper's eps / steps at ten steps. Fewer than ten such
        steps do not reach the edge of the ball.
      momentum: decay of what was accumulated, > 0; 1 in the paper and in MSU. (Without momentum: attacks.ifgsm.)
      normalise: divide each image's gradient by its l1 norm (Dong et al.); False is MSU.
    """

    kind = "mi-fgsm"
    eps: Any = 10 / 255
    steps: Any = 10
    _: KW_ONLY
    step_size: Any = None
    momentum: Any = 1.0
    normalise: bool = True
    keep_best: bool = False
    direction: Direction = "raise"
    norm: Norm = "linf"

    @property
    def traits(self) -> tuple[str, ...]:
        """ "raw" for gradients that are not normalised."""
        return (() if self.normalise else ("raw",)) + super().traits

    def size(self, eps: Array) -> Array:
        """A tenth of the ball."""
        return eps / 10

    def step_rule(self, ball: Ball, eps: Array) -> optax.GradientTransformation:
        """Steps along accumulated gradients."""
        scale = optax.stateless(_over_l1) if self.normalise else optax.identity()
        return optax.chain(scale, optax.trace(self.momentum), super().step_rule(ball, eps))


@traced("eps", "steps", "momentum")
class AMIFGSM(SteepestAscent):
    """MI-FGSM on raw gradients without a projection: `steps` steps of eps / steps sum to at most eps.

    MSU's methods/amifgsm/run.py. Beside the step, what differs from attacks.mifgsm(normalise=False) is the image range:
    here each iterate is cut to [0,1], so a step back from black or white moves the pixel at once; there only what the
    scorer sees is cut.

    Attributes:
      momentum: decay of the sum of gradients, > 0; 1 in MSU.
    """

    kind = "ami-fgsm"
    eps: Any = 10 / 255
    steps: Any = 10
    _: KW_ONLY
    momentum: Any = 1.0
    direction: Direction = "raise"
    norm: Norm = "linf"

    def size(self, eps: Array) -> Array:
        """So that all steps together reach the edge of the ball."""
        return eps / self.steps

    def step_rule(self, ball: Ball, eps: Array) -> optax.GradientTransformation:
        """Steps along accumulated gradients."""
        return optax.chain(optax.trace(self.momentum), super().step_rule(ball, eps))

    def project(self, images: Images, ball: Ball, eps: Array, perturbation: Perturbation) -> Perturbation:
        """Into the image range only."""
        return in_range(images, perturbation)


@traced("eps", "steps")
class PGD(SteepestAscent):
    """Projected gradient ascent from a start uniform in the ball: Madry et al. 2018 (arXiv 1706.06083).

    Start, projection after each step, final clip to [0,1] and the step of 1.25 eps for one iteration are those of the
    paper's KonCept branch (A-Kon). Steps of 2.5 eps / steps for more iterations are ours: A-Kon's stay at 1.25 eps.

    Attributes:
      variant: "authors-linearity" is the authors' attack on LinearityIQA, another one under the same name, in which eps
        is the step size: see attacks.authors.
    """

    kind = "pgd"
    eps: Any = 4 / 255
    steps: Any = 8
    _: KW_ONLY
    direction: Direction = "raise"
    norm: Norm = "linf"
    restarts: int = 1
    random_start: bool = True
    keep_best: bool = False
    variant: Literal["a-kon", "authors-linearity"] = "a-kon"

    def check(self) -> None:
        """The variant has no norm, restarts or best iterate."""
        plain = (self.norm, self.restarts, self.keep_best) == ("linf", 1, False)
        if self.variant != "a-kon" and not plain:
            raise ValueError(f"attack: variant {self.variant} is linf, without restarts, and keeps the last iterate")

    @property
    def traits(self) -> tuple[str, ...]:
        """The variant, last."""
        return super().traits + (() if self.variant == "a-kon" else (self.variant,))

    def size(self, eps: Array) -> Array:
        """See `pgd_step`."""
        return pgd_step(eps, self.steps)

    def perturb(self, scorer: ScoreFunction, keys: Array, images: Images) -> Result:
        """The attack as a pure function; one key an image."""
        if self.variant == "authors-linearity":
            target = objective(scorer, images, self.direction)
            return pgd_of_linearity(target, keys, images, self.eps, self.steps, self.random_start)
        return super().perturb(scorer, keys, images)


def pgd_step(eps: Array, steps: Any) -> Array:
    """1.25 eps for one iteration, else 2.5 eps / steps."""
    return jnp.where(steps == 1, 1.25 * eps, 2.5 * eps / steps)


def _over_l1(gradient: Any, _: Any) -> Perturbation:
    gradient = cast(Array, gradient)
    return gradient / jnp.maximum(jnp.abs(gradient).sum((1, 2, 3), keepdims=True), jnp.finfo(gradient.dtype).tiny)
