"""Korhonen's attack: Adam on pixels, led by a map of spatial activity to where changes are hard to see.
Korhonen and You 2022, "Adversarial attacks against blind IQA models", as in MSU and the authors (sources.md 4.4)."""

from dataclasses import KW_ONLY
from typing import Any, Literal, cast

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from robust_iqa_jax.attacks.arguments import Images
from robust_iqa_jax.attacks.ascent import Result, adam_ascent, ascend
from robust_iqa_jax.attacks.ball import BALLS, Perturbation, in_range
from robust_iqa_jax.attacks.core import Attack
from robust_iqa_jax.attacks.objective import Direction, ScoreFunction, objective
from robust_iqa_jax.attacks.settings import traced

Variant = Literal["masked-steps", "authors"]

_LUMA = (0.299, 0.587, 0.114)
_FLAT = 1e-4
"""Less than one step of an 8-bit blue makes in the luma; what is below is rounding."""
_REACH = ((1, 3), (3, 5), (5, 3))
"""Height and width of the rectangles whose union is a 5 x 5 square without its corners."""


@traced("eps", "steps", "learning_rate")
class Korhonen(Attack):
    """Adam's steps on the pixels, multiplied by the spatial activity, clipped to [0,1] after each.

    The public implementations multiply the *gradient*, which Adam divides by its own size again: there the map only
    matters where it is zero. They also take signed horizontal differences for activity. variant="authors" does both,
    for comparison with published numbers.

    Attributes:
      eps: bound on the change of a pixel, in [0,1] units; None, the published attack, for no bound.
      steps: iterations, >= 1; 50 (authors), 10 (MSU).
      learning_rate: Adam's step size; 0.002 (authors), 0.005 (MSU).
      variant: "masked-steps" or "authors".

    Raises:
      ValueError: a number that is not positive, unknown names; on use, what spatial_activity raises.
    """

    kind = "korhonen"
    eps: Any = None
    steps: Any = 50
    learning_rate: Any = 0.002
    _: KW_ONLY
    direction: Direction = "raise"
    keep_best: bool = False
    variant: Variant = "masked-steps"

    @property
    def traits(self) -> tuple[str, ...]:
        """The variant, last."""
        return super().traits + (() if self.variant == "masked-steps" else (self.variant,))

    def perturb(self, scorer: ScoreFunction, keys: Array, images: Images) -> Result:
        """The attack as a pure function; the keys are not used."""
        target = objective(scorer, images, self.direction)
        adam = adam_ascent(self.learning_rate)
        if self.variant == "authors":
            rule = optax.chain(_scaled_by(spatial_activity(images, signed=True) / 255), adam)
        else:
            rule = optax.chain(adam, _scaled_by(spatial_activity(images)))

        def project(perturbation: Perturbation) -> Perturbation:
            if self.eps is not None:
                perturbation = BALLS["linf"].project(perturbation, jnp.asarray(self.eps, images.dtype))
            return in_range(images, perturbation)

        start = jnp.zeros_like(images)
        result = ascend(target, images, start, self.steps, rule, project, keep_best=self.keep_best)
        if self.eps is None:
            return result._replace(images=jnp.clip(images + result.images, 0, 1))
        inside = BALLS["linf"].finish(images, result.images, jnp.asarray(self.eps, images.dtype))
        return result._replace(images=inside)


def _scaled_by(mask: Array) -> optax.GradientTransformation:
    return optax.stateless(lambda update, _: mask * cast(Array, update))


def spatial_activity(images: Images, *, signed: bool = False) -> Float[Array, "n h w 1"]:
    """Sobel magnitude of the luma, zero on the border, divided by its maximum, dilated by 5 x 5 without corners.

    Args:
      images: (n, h, w, 3) RGB or (n, h, w, 1) in [0,1].
      signed: take the horizontal difference with its sign instead, as the public implementations do.

    Returns:
      (n, h, w, 1), at most 1; ones for an image without any activity.

    Raises:
      ValueError: another number of channels, or a side below 3 pixels.
    """
    _, height, width, channels = images.shape
    if channels not in (1, 3) or min(height, width) < 3:
        raise ValueError(
            f"attack: spatial activity needs RGB or grey images of 3 x 3 pixels or more, got {images.shape[1:]}"
        )
    weights = jnp.asarray(_LUMA, images.dtype).reshape(1, 1, 1, 3)
    luma = images if channels == 1 else (images * weights).sum(-1, keepdims=True)
    across, along = _sobel(luma), _sobel(luma.swapaxes(1, 2)).swapaxes(1, 2)
    edges = across if signed else jnp.sqrt(across**2 + along**2)
    edges = jnp.pad(edges, ((0, 0), (1, 1), (1, 1), (0, 0)))
    highest = edges.max((1, 2, 3), keepdims=True)
    # A flat image has no activity to be led by.
    normal = jnp.where(highest > _FLAT, edges / jnp.maximum(highest, _FLAT), 1)
    windows = ((1, *reach, 1) for reach in _REACH)
    dilated = [jax.lax.reduce_window(normal, -jnp.inf, jax.lax.max, window, (1, 1, 1, 1), "SAME") for window in windows]
    return jnp.stack(dilated).max(0)


def _sobel(luma: Array) -> Array:
    """Differences over columns, smoothed over rows, at inner pixels."""
    smooth = luma[:, :-2] + 2 * luma[:, 1:-1] + luma[:, 2:]
    return smooth[:, :, 2:] - smooth[:, :, :-2]
