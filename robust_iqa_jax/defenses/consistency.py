"""Consistency training: clean scores fit the labels, and scores of attacked photos stay at the clean ones.
The form of TRADES (Zhang et al. 2019, arXiv 1901.08573) with a score in place of class probabilities."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.attacks.arguments import Images, check_count, check_positive
from robust_iqa_jax.attacks.ascent import along, ascend
from robust_iqa_jax.attacks.ball import BALLS
from robust_iqa_jax.attacks.objective import ScoreFunction
from robust_iqa_jax.attacks.registry import entry
from robust_iqa_jax.devices import all_rows

OWN = "pgd-mixed"
"""The attack of this file, see `attacked_images`; any other name is one of attacks.registry."""

FIRST_EPS = 1 / 255
"""Radius of the ball at the first step of a schedule."""


@dataclass(frozen=True)
class ConsistencyConfig:
    """The attack of each training step and how strongly its effect is penalised.

    The loss is that of the clean photos plus beta * mean h(d), with d = (s(x') - s(x)) / (standard deviation of s(x)
    over the batch) and h(d) = d^2 / 2 up to |d| = 1, |d| - 1/2 beyond. In standard deviations, because what an attack
    is worth depends on the range of the scores: a model whose scores all shrink to the mean gains nothing by it.
    Batch normalisation and dropout are those of evaluation in all passes: the function that is to be defended.

    Raises:
      ValueError: numbers out of range, an unknown attack.
    """

    beta: float = 1.0
    """Weight of the distance between attacked and clean scores."""
    eps: float = 4 / 255
    """Largest change of a pixel, in [0,1] units."""
    attack: str = OWN
    """ "pgd-mixed": steps whose size is drawn photo by photo, from a start anywhere in the ball; or an attack of
    attacks.registry with eps and steps of these and else its defaults, such as "apgd" or "mi-fgsm"."""
    steps: int = 2
    """Iterations of the attack."""
    smallest_step: float = 0.25
    """Least step of "pgd-mixed" as a share of the radius; sizes are uniform from there to the radius. A model that saw
    steps of one size only holds at the corners of the ball that those reach, and not inside."""
    smallest_radius: float = 1.0
    """Least radius of "pgd-mixed" as a share of eps; logarithms are uniform from there to eps. At 1, each photo has the
    whole ball, and the model learns to hold far from the photo but not near it, where small steps begin."""
    at_photo: float = 0.0
    """Share of the photos whose "pgd-mixed" starts at the photo itself, as patient attacks do."""
    lowered: float = 0.5
    """Share of the photos whose scores are attacked downwards, drawn anew at each step; the others go upwards."""
    ramp: float = 0.25
    """Share of the run over which eps rises from 1/255 and beta from zero, along a line."""

    def __post_init__(self) -> None:
        """Check the settings."""
        check_count(steps=self.steps)
        check_positive(eps=self.eps, smallest_step=self.smallest_step, smallest_radius=self.smallest_radius)
        if self.beta < 0:
            raise ValueError(f"consistency: beta must not be negative, got {self.beta}")
        for name in ("smallest_step", "smallest_radius", "at_photo", "lowered", "ramp"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"consistency: {name} must lie between 0 and 1, got {getattr(self, name)}")
        if self.attack == OWN:
            return
        if entry(self.attack).fitted:
            raise ValueError(f"consistency: attack {self.attack} must be fitted first; choose one that needs no fit")
        known = entry(self.attack).settings
        if not {"eps", "steps"} <= set(known) or known.get("direction") != "raise":
            raise ValueError(
                f"consistency: attack {self.attack} has no eps, no steps, or no one way to push; choose one that has, "
                "such as pgd, apgd or mi-fgsm"
            )


class Budget(NamedTuple):
    """Radius of the ball and weight of the distance at a step."""

    eps: Float[Array, ""]
    beta: Float[Array, ""]


def budget(config: ConsistencyConfig, step: Array, total: int) -> Budget:
    """The schedule's values at a step (counted from 0) of a run of `total` steps."""
    share = jnp.minimum(1.0, (step + 1) / (config.ramp * total + 1))
    first = min(FIRST_EPS, config.eps)
    return Budget(first + share * (config.eps - first), share * config.beta)


def attacked_images(
    config: ConsistencyConfig, score: ScoreFunction, keys: Array, images: Images, eps: Float[Array, ""]
) -> Images:
    """The batch's photos after the attack: in [0,1] and within eps of the clean ones.

    "pgd-mixed" draws a radius r = smallest_radius^v eps, starts at max(0, u - at_photo) times a point uniform in that
    ball, and goes `steps` times along the signs of the gradient by w r, u and v uniform in [0, 1] and w in
    [smallest_step, 1]; all draws are a photo's own.

    Args:
      config: the attack.
      score: [0,1] images -> (n,).
      keys: (n,) one a photo.
      images: (n, h, w, c) in [0,1].
      eps: radius.
    """
    fold = jax.vmap(jax.random.fold_in, (0, None))
    draws = jax.vmap(partial(jax.random.uniform, shape=(3,), dtype=images.dtype))(fold(keys, 0))
    signs = jnp.where(draws[:, 0] < config.lowered, -1.0, 1.0).astype(images.dtype)
    # of several versions of each image, one after the other, as nes asks
    objective: Callable[[Any], Any] = lambda x: jnp.repeat(signs, len(x) // len(signs)) * score(x)  # noqa: E731
    if config.attack != OWN:
        return _registered(config, eps).perturb(objective, fold(keys, 1), images).images
    ball, eps = BALLS["linf"], eps.astype(images.dtype)
    scale, share = (draws[:, i, None, None, None] for i in (1, 2))
    exponent = jax.vmap(partial(jax.random.uniform, shape=(1, 1, 1), dtype=images.dtype))(fold(keys, 2))
    radius = eps * config.smallest_radius**exponent
    start = jnp.maximum(0, scale - config.at_photo) * ball.draw(fold(keys, 1), images, radius)
    rule = along(ball.steepest, radius * (config.smallest_step + (1 - config.smallest_step) * share))
    project = lambda perturbation: ball.project(perturbation, radius)  # noqa: E731
    ascent = ascend(objective, images, start, config.steps, rule, project)
    return ball.finish(images, ascent.images, radius)


def score_distance(
    clean: Float[Array, " n"], attacked: Float[Array, " n"], axis_name: str | None = None
) -> Float[Array, ""]:
    """mean h(d) over this device's photos, see ConsistencyConfig; standard deviations are those of the whole batch.

    Args:
      clean, attacked: scores of the same photos.
      axis_name: mapped axis over which the batch is spread, None for one device.
    """
    spread = jnp.sqrt(all_rows(clean, axis_name).var() + jnp.finfo(clean.dtype).tiny)
    d = jnp.abs(attacked - clean) / spread
    return jnp.mean(jnp.where(d < 1, d**2 / 2, d - 0.5))


def _registered(config: ConsistencyConfig, eps: Array) -> Any:
    row = entry(config.attack)
    settings = {"eps": eps, "steps": config.steps}
    return row.make(**{name: value for name, value in settings.items() if name in row.settings})
