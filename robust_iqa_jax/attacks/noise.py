"""Noise of an attack's size: the control that says how much of a gain is direction and how much is mere change.
Random signs are the starts of Wong et al. 2020 (arXiv 2001.03994) without their step; the rest is elementary."""

from dataclasses import KW_ONLY
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array

from robust_iqa_jax.attacks.arguments import Images
from robust_iqa_jax.attacks.ascent import Result
from robust_iqa_jax.attacks.ball import Norm, length
from robust_iqa_jax.attacks.core import Attack
from robust_iqa_jax.attacks.objective import ScoreFunction
from robust_iqa_jax.attacks.settings import traced


@traced("eps")
class UniformNoise(Attack):
    """Noise uniform in the ball: for linf each value in +-eps; for l2 of a length close to eps in many dimensions.

    With `signs` each value is +eps or -eps: as long as an attack can be, while uniform values are 1/sqrt(3) of that.

    Attributes:
      signs: corners of the linf ball only.

    Raises:
      ValueError: eps that `checks.check_eps` refuses, an unknown norm, signs in an l2 ball.
    """

    kind = "uniform-noise"
    eps: Any = 4 / 255
    _: KW_ONLY
    norm: Norm = "linf"
    signs: bool = False
    asks: ClassVar[bool] = False

    def check(self) -> None:
        """Only a cube has corners."""
        if self.signs and self.norm != "linf":
            raise ValueError(f"attack: an {self.norm} ball has no corners; drop signs=True")

    @property
    def traits(self) -> tuple[str, ...]:
        """ "signs" for corners."""
        return ("signs",) if self.signs else ()

    def perturb(self, scorer: ScoreFunction, keys: Array, images: Images) -> Result:
        """The noise as a pure function; the scorer is not asked."""
        ball, eps = self.ball(images)
        drawn = ball.draw(keys, images, eps)
        return Result(ball.finish(images, jnp.copysign(eps, drawn) if self.signs else drawn, eps))


@traced("eps")
class GaussianNoise(Attack):
    """White Gaussian noise of an attack's norm.

    For linf, of standard deviation eps and cut to +-eps: 0.72 eps root mean square, a third of the values at +-eps.
    For l2, scaled to length eps exactly; what [0,1] cuts off shortens it.
    """

    kind = "gaussian-noise"
    eps: Any = 4 / 255
    _: KW_ONLY
    norm: Norm = "linf"
    asks: ClassVar[bool] = False

    def perturb(self, scorer: ScoreFunction, keys: Array, images: Images) -> Result:
        """The noise as a pure function; the scorer is not asked."""
        ball, eps = self.ball(images)
        normal = jax.vmap(lambda key: jax.random.normal(key, images.shape[1:], images.dtype))(keys)
        scaled = eps * normal if self.norm == "linf" else eps * normal / length(normal)
        return Result(ball.finish(images, ball.project(scaled, eps), eps))
