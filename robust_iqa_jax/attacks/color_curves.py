"""Colour curves: one piecewise-linear tone curve a channel, fitted by Adam.
ACE, Zhao, Liu, Larson 2020 (arXiv 2002.01008), as in the paper's attacks/color.py (docs/sources.md 4.4)."""

from dataclasses import KW_ONLY
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from robust_iqa_jax.attacks.arguments import Images
from robust_iqa_jax.attacks.ascent import Result, adam_ascent, has_direction, stronger
from robust_iqa_jax.attacks.core import Attack
from robust_iqa_jax.attacks.objective import Direction, ScoreFunction, objective
from robust_iqa_jax.attacks.quantise import rounded
from robust_iqa_jax.attacks.settings import traced

Slopes = Float[Array, "n c pieces"]

_SMALLEST = 1e-30


@traced("steps", "learning_rate", "weight", "score_range")
class ColorCurves(Attack):
    """Raise objective / score_range - weight * sum((p / sum p - 1/pieces)^2) over the slopes p >= 0 of the curves.

    Curves start as the identity; each image keeps its strongest result, the clean image included. The source scores
    an image and keeps its rounded copy; here what is kept is what was scored.

    Attributes:
      learning_rate: Adam's step size on the slopes, which start at 1/pieces.
      weight: of the penalty on slopes that differ, > 0.
      pieces: of each curve, >= 1.
      eight_bit: results are rounded to multiples of 1/255; gradients pass the rounding.
    """

    kind = "color-curves"
    steps: Any = 30
    learning_rate: Any = 0.1
    _: KW_ONLY
    weight: Any = 0.5
    pieces: int = 64
    eight_bit: bool = False
    direction: Direction = "raise"
    score_range: Any = 100.0

    @property
    def traits(self) -> tuple[str, ...]:
        """ "8bit" for rounded results."""
        return ("8bit",) if self.eight_bit else ()

    def perturb(self, scorer: ScoreFunction, keys: Array, images: Images) -> Result:
        """The attack as a pure function; the keys are not used."""
        target = objective(scorer, images, self.direction)
        rule = adam_ascent(self.learning_rate)
        slopes = jnp.full((images.shape[0], images.shape[-1], self.pieces), 1 / self.pieces, images.dtype)

        def recolored(slopes: Slopes) -> Images:
            curved = color_curves(images, slopes)
            constant = jax.lax.stop_gradient(curved)
            shown = jnp.clip(constant, 0, 1)
            shown = rounded(shown) if self.eight_bit else shown
            # Gradients pass both: a curve leaves [0,1] by rounding errors only, which should not decide about them.
            return shown + (curved - constant)

        def gain(slopes: Slopes) -> tuple[Array, tuple[Array, Images]]:
            result = recolored(slopes)
            values = target(result)
            penalty = self.weight * ((_shares(slopes) - 1 / self.pieces) ** 2).sum((1, 2))
            return (values / self.score_range - penalty).sum(), (values, result)

        def step(i: Array, carry: tuple[Slopes, Any, Any, Result]) -> tuple[Slopes, Any, Any, Result]:
            slopes, state, best, progress = carry
            gradient, candidate = jax.grad(gain, has_aux=True)(slopes)
            finite = jnp.where(i == 0, jnp.isfinite(candidate[0]), progress.finite)
            updates, state = rule.update(gradient, state, slopes)
            slopes = jnp.maximum(optax.apply_updates(slopes, updates), 0)  # pyright: ignore[reportArgumentType]
            progress = Result(images, finite, progress.alive | has_direction(gradient))
            return slopes, state, stronger(best, candidate), progress

        # The identity, rounded where asked for, is the first that is scored.
        best = (jnp.full(images.shape[0], -jnp.inf, images.dtype), images)
        none = jnp.zeros(images.shape[0], bool)
        start = (slopes, rule.init(slopes), best, Result(images, ~none, none))
        slopes, _, best, progress = jax.lax.fori_loop(0, self.steps, step, start)
        result = recolored(slopes)
        return progress._replace(images=stronger(best, (target(result), result))[1])


def color_curves(images: Images, slopes: Slopes) -> Images:
    """Each channel through its curve from (0, 0) to (1, 1), whose k equal pieces rise in proportion to the slopes.

    Args:
      images: (n, h, w, c) in [0,1].
      slopes: (n, c, k), >= 0, of any sum above 0.
    """
    pieces = slopes.shape[-1]
    starts = (jnp.arange(pieces, dtype=images.dtype) / pieces).reshape(1, 1, 1, 1, -1)
    covered = jnp.clip(images[..., None] - starts, 0, 1 / pieces)
    return (covered * (_shares(slopes) * pieces)[:, None, None]).sum(-1)


def _shares(slopes: Slopes) -> Slopes:
    return slopes / jnp.maximum(slopes.sum(-1, keepdims=True), _SMALLEST)
