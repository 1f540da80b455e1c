"""Rounding to 8 bits: what storing an image does to it, as a control and after other attacks.
The levels are k / 255, as in PNG and in every decoder of this library."""

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array

from robust_iqa_jax.attacks.arguments import Images
from robust_iqa_jax.attacks.ascent import Result
from robust_iqa_jax.attacks.core import Attack
from robust_iqa_jax.attacks.objective import ScoreFunction
from robust_iqa_jax.attacks.settings import traced


@traced()
class Quantise(Attack):
    """The nearest image of 256 levels a channel; it has no ball and no direction."""

    kind = "quantise"
    asks: ClassVar[bool] = False

    def perturb(self, scorer: ScoreFunction, keys: Array, images: Images) -> Result:
        """The rounding as a pure function; neither the scorer nor the keys are used."""
        return Result(rounded(images))


def rounded(images: Images) -> Images:
    """Images in [0,1] at the nearest of the 256 levels."""
    return jnp.round(images * 255) / 255
