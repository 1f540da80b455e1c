"""APGD on a quality score: ascent with momentum whose step halves, image by image, when progress stalls.
Croce & Hein 2020 (arXiv 2003.01690, algorithm 1)."""

from collections.abc import Callable
from dataclasses import KW_ONLY
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from robust_iqa_jax.attacks.arguments import Images
from robust_iqa_jax.attacks.ascent import Result, has_direction
from robust_iqa_jax.attacks.ball import Ball, Norm
from robust_iqa_jax.attacks.core import Attack
from robust_iqa_jax.attacks.objective import Direction, ScoreFunction, objective
from robust_iqa_jax.attacks.restarts import strongest
from robust_iqa_jax.attacks.settings import traced

ALPHA = 0.75
"""Weight of the new step against momentum."""
RHO = 0.75
"""Share of steps between two checkpoints that must raise the objective."""
CHECKPOINTS = (22, 41, 57, 70, 80, 87, 93, 99)
"""Percent of the steps: p_1 = 22, p_{j+1} = p_j + max(p_j - p_{j-1} - 3, 6)."""


@traced("eps", "steps", "step_size")
class APGD(Attack):
    """Auto-PGD: projected steepest steps with momentum, in the ball and in [0,1].

    At each checkpoint an image's step is halved, and its search goes on from its best point, if fewer than RHO of the
    steps since the last one raised its objective, or if its best value did not rise and its step was not halved then.
    The strongest point visited is returned, the start included.

    Where the paper leaves room: starts are uniform in the ball (the authors' code: scaled to its edge), and for l2 an
    iterate is cut to [0,1] first and shortened second, which leaves it the longer one. Checkpoints are those of the
    paper at any number of steps; the authors' code rounds down, and never applies the second condition at the first.

    Attributes:
      steps: iterations, >= 1; costs one gradient more.
      step_size: the first step, in the same units, > 0; None is 2 eps, the paper's. (A-Lin ran 10/255 eps, a step so
        small that the search hardly moves.)
    """

    kind = "apgd"
    eps: Any = 4 / 255
    steps: Any = 100
    _: KW_ONLY
    step_size: Any = None
    direction: Direction = "raise"
    norm: Norm = "linf"
    restarts: int = 1
    random_start: bool = True

    def perturb(self, scorer: ScoreFunction, keys: Array, images: Images) -> Result:
        """The attack as a pure function; one key an image."""
        target = objective(scorer, images, self.direction)
        ball, eps = self.ball(images)
        size = 2 * eps if self.step_size is None else jnp.asarray(self.step_size, images.dtype)
        inside = lambda x: ball.finish(images, x - images, eps)  # noqa: E731

        def attempt(keys: Array) -> Result:
            start = images + ball.draw(keys, images, eps) if self.random_start else images
            return _climb(target, inside(start), size, self.steps, ball, inside)

        return strongest(attempt, target, keys, images, self.restarts)


class _Point(NamedTuple):
    """Images on the way, with their objective and its gradient."""

    images: Images
    value: Float[Array, " n"]
    gradient: Float[Array, "n h w c"]


class _Search(NamedTuple):
    """Where the search is, and what it has seen since the last checkpoint."""

    now: _Point
    before: Images
    best: _Point
    size: Float[Array, " n"]
    rises: Int[Array, " n"]
    checked: Array
    best_then: Float[Array, " n"]
    halved_then: Bool[Array, " n"]
    alive: Bool[Array, " n"]


def _climb(
    target: ScoreFunction, start: Images, size: Array, steps: Any, ball: Ball, inside: Callable[[Images], Images]
) -> Result:
    """Algorithm 1 from `start`; `inside` projects images on the ball and on [0,1]."""
    checkpoints = -(jnp.asarray(CHECKPOINTS) * -steps // 100)  # integers: 0.41 * 100 rounds up to 42 in float

    def point(x: Images) -> _Point:
        value, pull = jax.vjp(target, x)
        gradient = pull(jnp.ones_like(value))[0]
        return _Point(x, jnp.where(jnp.isnan(value), -jnp.inf, value), gradient)

    def step(k: Array, search: _Search) -> _Search:
        now, alpha = search.now, jnp.where(k == 0, 1, ALPHA).astype(start.dtype)
        ahead = inside(now.images + _per_image(search.size) * ball.steepest(now.gradient))
        to = point(inside(now.images + alpha * (ahead - now.images) + (1 - alpha) * (now.images - search.before)))
        best = _where(to.value > search.best.value, to, search.best)
        rises = search.rises + (to.value > now.value)
        check = (k + 1 == checkpoints).any()
        idle = rises < RHO * (k + 1 - search.checked)
        flat = ~search.halved_then & (best.value == search.best_then)
        stalled = check & (idle | flat)
        return _Search(
            now=_where(stalled, best, to),
            before=now.images,
            best=best,
            size=jnp.where(stalled, search.size / 2, search.size),
            rises=jnp.where(check, 0, rises),
            checked=jnp.where(check, k + 1, search.checked),
            best_then=jnp.where(check, best.value, search.best_then),
            halved_then=jnp.where(check, stalled, search.halved_then),
            alive=search.alive | has_direction(to.gradient),
        )

    first = point(start)
    count = start.shape[0]
    none = jnp.zeros(count, jnp.int32)
    begin = _Search(
        now=first,
        before=start,
        best=first,
        size=jnp.full(count, size),
        rises=none,
        checked=jnp.int32(0),
        best_then=first.value,
        halved_then=none > 0,
        alive=has_direction(first.gradient),
    )
    end = jax.lax.fori_loop(0, steps, step, begin)
    return Result(end.best.images, jnp.isfinite(first.value), end.alive)


def _per_image(values: Array) -> Array:
    return values[:, None, None, None]


def _where(chosen: Bool[Array, " n"], one: _Point, other: _Point) -> _Point:
    select = lambda a, b: jnp.where(chosen if a.ndim == 1 else _per_image(chosen), a, b)  # noqa: E731
    return jax.tree.map(select, one, other)
