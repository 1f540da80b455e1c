"""Perceptual attack: move the score as far as a perceptual distance to the clean image allows.
Zhang et al. 2022 (arXiv 2210.00933), its Lagrangian form, and a budget on the distance (docs/sources.md 4.4)."""

from dataclasses import KW_ONLY
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.attacks.arguments import Images
from robust_iqa_jax.attacks.ascent import Result, adam_ascent, ascend
from robust_iqa_jax.attacks.ball import Perturbation, in_range
from robust_iqa_jax.attacks.core import Attack
from robust_iqa_jax.attacks.objective import Direction, ScoreFunction, objective
from robust_iqa_jax.attacks.settings import traced
from robust_iqa_jax.functional.ssim import ssim
from robust_iqa_jax.pytrees import as_pytree

BISECTIONS = 8
"""Halvings of the segment back to the clean image, by which a step that leaves the budget is shortened."""


def ssim_distance(x: Images, y: Images) -> Float[Array, " n"]:
    """1 - SSIM of images in [0,1], each side 11 pixels or more."""
    return 1 - ssim(x, y)


@traced("steps", "learning_rate", "weight", "budget", "distance", "score_range")
class Perceptual(Attack):
    """Adam on the pixels, raising objective / score_range - weight * distance(clean, image), clipped to [0,1].

    With a budget, a step that leaves it is shortened towards the clean image until the distance fits, and each image
    keeps the strongest of its iterates, all of which fit; the distance in the loss leads the steps along what it does
    not see. Without, the last iterate is returned and only the weight holds it.

    The public implementations *add* SSIM to the loss that they minimise, which lowers it, and compute it for a range
    of 255 on [0,1] images, where it is 1 whatever the attack does; here the distance has the right sign and range.

    Attributes:
      steps: iterations, >= 1; 10 in the public implementations.
      learning_rate: Adam's step size in [0,1] units.
      budget: largest distance allowed, such as 0.05 for SSIM >= 0.95; None for no bound.
      weight: of the distance against the score as a fraction of its range, > 0.
      distance: (clean, image) -> (n,), zero for equal images; ssim_distance, or functional.feature_distance. A plain
        function is part of the program's identity, a pytree's arrays are traced. With a budget a step costs up to 10
        evaluations of it.

    Raises:
      ValueError: a number that is not positive, unknown names; on use, what the distance raises.
    """

    kind = "perceptual"
    steps: Any = 30
    learning_rate: Any = 0.005
    _: KW_ONLY
    budget: Any = 0.05
    weight: Any = 1.0
    distance: Any = ssim_distance
    direction: Direction = "raise"
    score_range: Any = 100.0

    def check(self) -> None:
        """Not checked: the distance becomes a pytree, so that its arrays are traced."""
        if callable(self.distance):
            object.__setattr__(self, "distance", as_pytree(self.distance))

    @property
    def traits(self) -> tuple[str, ...]:
        """The budget."""
        return () if self.budget is None else (f"budget{float(self.budget):g}",)

    def perturb(self, scorer: ScoreFunction, keys: Array, images: Images) -> Result:
        """The attack as a pure function; the keys are not used."""
        target = objective(scorer, images, self.direction)
        rule = adam_ascent(self.learning_rate)
        start = jnp.zeros_like(images)

        def lagrangian(x: Images) -> Array:
            far = self.distance(images, x)
            if self.budget is not None:
                # Steps follow the distance, but iterates are ranked by what they reach.
                far = far - jax.lax.stop_gradient(far)
            return target(x) / self.score_range - self.weight * far

        def project(perturbation: Perturbation) -> Perturbation:
            inside = in_range(images, perturbation)
            return inside if self.budget is None else self._retract(images, inside)

        keep = self.budget is not None
        result = ascend(lagrangian, images, start, self.steps, rule, project, keep_best=keep)
        return result._replace(images=jnp.clip(images + result.images, 0, 1))

    def _retract(self, images: Images, perturbation: Perturbation) -> Perturbation:
        """The perturbation, or the longest part of it, by bisection, that keeps the budget."""
        budget = self.budget * (1 - 1e-3)  # room for the rounding of a distance that another program computes

        def fits(fraction: Array) -> Array:
            moved = jnp.clip(images + fraction[:, None, None, None] * perturbation, 0, 1)
            return self.distance(images, moved) <= budget

        def halve(_: Array, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = bounds
            middle = (low + high) / 2
            inside = fits(middle)
            return jnp.where(inside, middle, low), jnp.where(inside, high, middle)

        whole = jnp.ones(images.shape[0], images.dtype)
        fitting = fits(whole)
        bisect = lambda: jax.lax.fori_loop(0, BISECTIONS, halve, (fitting.astype(images.dtype), whole))[0]  # noqa: E731
        fraction = jax.lax.cond(fitting.all(), lambda: whole, bisect)
        return fraction[:, None, None, None] * perturbation
