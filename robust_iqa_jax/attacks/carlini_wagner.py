"""C&W on a quality score: the smallest l2 change that gains a given number of score points.
Carlini & Wagner 2017 (arXiv 1608.04644, section V-A and VI-A), with the score's gain in place of the logit margin."""

from collections.abc import Callable
from dataclasses import KW_ONLY
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from robust_iqa_jax.attacks.arguments import Images
from robust_iqa_jax.attacks.ascent import Result, has_direction, stronger
from robust_iqa_jax.attacks.objective import Direction, ScoreFunction, objective
from robust_iqa_jax.attacks.settings import traced
from robust_iqa_jax.attacks.smallest_change import SmallestChange

INSIDE = 0.999999
"""Black and white pixels are moved in by this factor before arctanh, which is infinite there (the authors' code)."""

Best = tuple[Float[Array, " n"], Images]


@traced("gain", "steps", "searches", "step_size")
class CarliniWagner(SmallestChange):
    """Minimises |x' - x|^2 + c max(0, gain - achieved) over w with x' = (tanh(w) + 1) / 2, by Adam.

    The weight c is searched for each image: ten times as much after a run that never reached the gain, bisected once
    one did. Every iterate counts: an image keeps its smallest change that reaches the gain. An image on which nothing
    reaches it gets the iterate with the largest gain found, so look at the scores before reading a distance.

    Two things are ours, because scores have any scale where logits have one: c starts at 4 gain / |gradient|^2, twice
    what a linear score needs (the authors: 1e-3), and Adam's step falls linearly to zero, which lets a short run
    settle at the edge.

    Attributes:
      gain: score points to reach in the chosen direction, > 0.
      steps: Adam iterations for each c, >= 1.
      searches: values of c tried, >= 1.
      step_size: first Adam step, on w, > 0.
      direction: which way scores are pushed, see attacks.objective; not one that looks at the whole batch.

    Raises:
      ValueError: a number that is not positive, an unknown direction or one of whole batches.
    """

    kind = "carlini-wagner"
    gain: Any = 10.0
    steps: Any = 100
    _: KW_ONLY
    searches: Any = 9
    step_size: Any = 0.01
    direction: Direction = "raise"

    def perturb(self, scorer: ScoreFunction, keys: Array, images: Images) -> Result:
        """The attack as a pure function; draws nothing from the keys."""
        target = objective(scorer, images, self.direction)
        clean, pull = jax.vjp(target, images)
        steepest = pull(jnp.ones_like(clean))[0]
        c = _first_weight(self.gain, steepest)
        wide = c.dtype
        origin = jnp.arctanh((2 * images.astype(wide) - 1) * INSIDE)
        rule = optax.adam(lambda count: self.step_size * (1 - count / self.steps))

        def cost(w: Array, c: Array) -> tuple[Array, tuple[Array, Array, Array]]:
            candidate = ((jnp.tanh(w) + 1) / 2).astype(images.dtype)
            distance = ((candidate.astype(wide) - images) ** 2).sum((1, 2, 3))
            short = (self.gain - (target(candidate) - clean)).astype(wide)
            return (distance + c * jnp.maximum(short, 0)).sum(), (candidate, distance, short)

        def run(c: Array, best: Best) -> tuple[Best, Bool[Array, " n"]]:
            def step(_: Array, carry: tuple[Array, Any, Best, Array]) -> tuple[Array, Any, Best, Array]:
                w, state, best, reached = carry
                gradient, (candidate, distance, short) = jax.grad(cost, has_aux=True)(w, c)
                updates, state = rule.update(gradient, state)
                # reaching comes first, by smaller distance; then not reaching, by smaller shortfall
                rank = jnp.where(short <= 0, 1 / jnp.maximum(distance, jnp.finfo(wide).tiny), -short)
                best = stronger(best, (rank, candidate))
                return w + cast(Array, updates), state, best, reached | (short <= 0)

            none = jnp.zeros(images.shape[0], bool)
            _, _, best, reached = jax.lax.fori_loop(0, self.steps, step, (origin, rule.init(origin), best, none))
            return best, reached

        best = (jnp.full(images.shape[0], -jnp.inf, wide), images)
        # The search starts at the clean image, where only the score's gradient moves it.
        return Result(_search_weight(run, c, best, self.searches)[1], jnp.isfinite(clean), has_direction(steepest))


def _first_weight(gain: Any, gradient: Array) -> Float[Array, " n"]:
    """4 gain / |gradient|^2, at least float32; gain where there is no gradient."""
    gradient = gradient.astype(jnp.promote_types(gradient.dtype, jnp.float32))
    squared = (gradient**2).sum((1, 2, 3))
    return jnp.where(squared > 0, 4 * gain / jnp.where(squared > 0, squared, 1), gain).astype(gradient.dtype)


def _search_weight(run: Callable[[Array, Best], tuple[Best, Array]], c: Array, best: Best, searches: Any) -> Best:
    """What `searches` runs leave as best: c grows tenfold until a run reaches the gain, then halves the interval."""

    def search(_: Array, carry: tuple[Array, Array, Array, Best]) -> tuple[Array, Array, Array, Best]:
        c, low, high, best = carry
        best, reached = run(c, best)
        low, high = jnp.where(reached, low, c), jnp.where(reached, c, high)
        return jnp.where(jnp.isinf(high), 10 * c, (low + high) / 2), low, high, best

    start = (c, jnp.zeros_like(c), jnp.full_like(c, jnp.inf), best)
    return jax.lax.fori_loop(0, searches, search, start)[3]
