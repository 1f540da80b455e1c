"""FMN on a quality score: the smallest change, in l2 or linf, that gains a given number of score points.
Pintor et al. 2021, "Fast Minimum-norm Adversarial Attacks" (arXiv 2102.12827, algorithm 1), with the score's gain in
place of the logit margin; with norm="l2" it is DDN's (Rony et al. 2019, arXiv 1811.09600) with a smarter first ball."""

from dataclasses import KW_ONLY
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.attacks.arguments import Images
from robust_iqa_jax.attacks.ascent import Result, has_direction, stronger, summed
from robust_iqa_jax.attacks.ball import BALLS, Norm, in_range, length
from robust_iqa_jax.attacks.objective import Direction, ScoreFunction, objective
from robust_iqa_jax.attacks.settings import traced
from robust_iqa_jax.attacks.smallest_change import SmallestChange

LAST_STEP, FIRST_CHANGE, LAST_CHANGE = 0.01, 0.05, 0.001
"""The step's last length as a share of its first, and the first and last share by which the ball changes (the authors'
program); both fall along half a cosine."""

_SMALLEST = 1e-30


@traced("gain", "steps", "step_size")
class FMN(SmallestChange):
    """Ascent inside a ball that shrinks after each iterate that reaches the gain and grows after each that does not.

    Until an image reaches the gain for the first time, its ball is as large as a linear score of the present gradient
    would need. The smallest change that reached it is returned, or, where none did, the iterate with the largest gain:
    look at the scores before reading a distance. One gradient a step, no search over weights.

    Attributes:
      gain: score points to reach in the chosen direction, > 0.
      steps: iterations, >= 1.
      step_size: first step's Euclidean length in [0,1] units, > 0.
      norm: what is made small.
      direction: which way scores are pushed, see attacks.objective; not one that looks at the whole batch.

    Raises:
      ValueError: a number that is not positive, an unknown name, a direction of whole batches.
    """

    kind = "fmn"
    gain: Any = 10.0
    steps: Any = 100
    _: KW_ONLY
    norm: Norm = "l2"
    step_size: Any = 1.0
    direction: Direction = "raise"

    def perturb(self, scorer: ScoreFunction, keys: Array, images: Images) -> Result:
        """The attack as a pure function; draws nothing from the keys."""
        target = objective(scorer, images, self.direction)
        ball, (size, dual) = BALLS[self.norm], _NORMS[self.norm]
        clean = jax.lax.stop_gradient(target(images))
        value_and_gradient = jax.value_and_grad(lambda x: summed(target(x)), has_aux=True)

        def judged(values: Array, perturbation: Array) -> tuple[Array, Array, Array]:
            """Its size, the gain that it lacks, and its rank: smaller is better of those that lack none."""
            there, short = size(perturbation), self.gain - (values - clean)
            rank = jnp.where(short <= 0, 1 / jnp.maximum(there, _SMALLEST), -short)
            return there, short, rank.astype(images.dtype)

        def step(i: Array, carry: tuple[Array, ...]) -> tuple[Array, ...]:
            perturbation, radius, reached, ranks, best, alive = carry
            (_, values), gradient = value_and_gradient(images + perturbation)
            there, short, rank = judged(values, perturbation)
            now = short <= 0
            ranks, best = stronger((ranks, best), (rank, perturbation))
            reached, alive = reached | now, alive | has_direction(gradient)
            change = _falling(i, self.steps, FIRST_CHANGE, LAST_CHANGE)
            linear = there + short / jnp.maximum(dual(gradient), _SMALLEST)
            outside = jnp.where(reached, radius * (1 + change), linear)
            radius = jnp.where(now, jnp.minimum(radius * (1 - change), size(best)), outside).astype(radius.dtype)
            ascent = _falling(i, self.steps, self.step_size, LAST_STEP * self.step_size) * BALLS["l2"].steepest(
                gradient
            )
            inside = ball.project(perturbation + ascent.astype(images.dtype), radius[:, None, None, None])
            return in_range(images, inside), radius, reached, ranks, best, alive

        count = len(images)
        none, far = jnp.zeros(count, bool), jnp.full(count, jnp.inf, images.dtype)
        start = (jnp.zeros_like(images), far, none, -far, jnp.zeros_like(images), none)
        last, _, _, ranks, best, alive = jax.lax.fori_loop(0, self.steps, step, start)
        *_, rank = judged(target(images + last), last)
        _, best = stronger((ranks, best), (rank, last))
        return Result(jnp.clip(images + best, 0, 1), jnp.isfinite(clean), alive)


def _falling(i: Any, steps: Any, first: Any, last: Any) -> Any:
    """From first to last along half a cosine, at iteration i of 0 .. steps - 1."""
    return last + (first - last) * (1 + jnp.cos(jnp.pi * i / steps)) / 2


def _largest(x: Array) -> Float[Array, " n"]:
    return jnp.abs(x).max((1, 2, 3))


def _sum(x: Array) -> Float[Array, " n"]:
    return jnp.abs(x).sum((1, 2, 3))


def _length(x: Array) -> Float[Array, " n"]:
    return length(x)[:, 0, 0, 0]


_NORMS = {"linf": (_largest, _sum), "l2": (_length, _length)}
"""Norm -> size of a change, and size of a gradient: what a linear score gains by a change of size one."""
