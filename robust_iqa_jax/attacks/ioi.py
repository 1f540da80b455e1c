"""IOI, the invisible one-iteration attack: a step of FGSM, of which the photo keeps what hides in it.
Shumitskaya et al. 2024 (arXiv 2403.05955), as in katiashh/ioi-attack, IOI_demo.ipynb."""

import math
from dataclasses import KW_ONLY
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.attacks.arguments import Images
from robust_iqa_jax.attacks.ascent import Result, has_direction
from robust_iqa_jax.attacks.core import Attack
from robust_iqa_jax.attacks.objective import Direction, ScoreFunction, objective
from robust_iqa_jax.attacks.settings import traced

_FAINT = 0.01
"""Share of the busiest place below which a place is flat (the authors' program)."""
_FLAT = 1e-3
"""Deviation over mean of a place in a photo without texture: less than a step of 8 bits; what is below is rounding."""


@traced("step_size")
class IOI(Attack):
    """image + texture * F^-1[faint * F(stepped - image)], clipped to [0,1]; one gradient a photo.

    `stepped` is one step along the gradient's signs, `faint` the frequencies of a channel in which the photo is weak,
    `texture` how busy the photo is around a pixel. The change has no bound in pixels: Theorem 1 of the paper bounds it
    by the mean absolute spectrum of the step.

    The authors drop the one coefficient of a channel that lies on the border between strong and faint frequencies; here
    it belongs to the strong ones, so that nothing of the photo is lost.

    Attributes:
      step_size: change of a pixel by the step, in [0,1] units, > 0; 0.1 in the authors' program.
      strong: share of the frequencies of a channel, the strongest, that are left alone, in (0, 1).

    Raises:
      ValueError: a number out of range, an unknown direction; on use, what `texture` raises.
    """

    kind = "ioi"
    step_size: Any = 0.1
    _: KW_ONLY
    strong: float = 0.07
    direction: Direction = "raise"

    def check(self) -> None:
        """`strong` is a share."""
        if not 0 < self.strong < 1:
            raise ValueError(f"attack: strong must lie between 0 and 1, got {self.strong}")

    def perturb(self, scorer: ScoreFunction, keys: Array, images: Images) -> Result:
        """The attack as a pure function; the keys are not used."""
        target = objective(scorer, images, self.direction)
        values, pull = jax.vjp(target, images)
        (gradient,) = pull(jnp.ones_like(values))
        stepped = jnp.clip(images + self.step_size * jnp.sign(gradient), 0, 1)
        hidden = texture(images) * faint_part(images, stepped - images, self.strong)
        return Result(jnp.clip(images + hidden, 0, 1), jnp.isfinite(values), has_direction(gradient))


def faint_part(images: Images, change: Float[Array, "n h w c"], strong: float) -> Float[Array, "n h w c"]:
    """What a change has in the frequencies in which a channel of the photo is not among its strongest.

    Args:
      images: in [0,1].
      change: of them.
      strong: share of the frequencies that are the strongest.
    """
    magnitudes = jnp.abs(jnp.fft.fft2(images, axes=(1, 2)))
    count = images.shape[1] * images.shape[2]
    in_order = jnp.sort(magnitudes.reshape(len(images), count, -1), axis=1)
    border = in_order[:, math.floor((1 - strong) * count), None, None]
    return jnp.fft.ifft2(jnp.where(magnitudes < border, jnp.fft.fft2(change, axes=(1, 2)), 0), axes=(1, 2)).real


def texture(images: Images) -> Float[Array, "n h w c"]:
    """Square root of the deviation over the mean of 3 x 3 pixels, in shares of the photo's largest; 0 on the border,
    in places below a hundredth of it, and in a photo that has none.

    Raises:
      ValueError: a side below 3 pixels.
    """
    if min(images.shape[1:3]) < 3:
        raise ValueError(f"attack: texture needs images of 3 x 3 pixels or more, got {images.shape[1:]}")
    mean, squares = _mean(images), _mean(images**2)
    deviation = jnp.sqrt(jnp.maximum(squares - mean**2, 0)) / jnp.where(mean == 0, 1, mean)
    largest = deviation.max((1, 2, 3), keepdims=True)
    share = jnp.where(largest > _FLAT, deviation / jnp.maximum(largest, _FLAT), 0)
    return jnp.pad(jnp.sqrt(jnp.where(share < _FAINT, 0, share)), ((0, 0), (1, 1), (1, 1), (0, 0)))


def _mean(images: Images) -> Array:
    """Of the 3 x 3 pixels around each inner one."""
    return jax.lax.reduce_window(images, 0.0, jax.lax.add, (1, 3, 3, 1), (1, 1, 1, 1), "VALID") / 9
