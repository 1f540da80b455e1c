"""Sparse-RS: random search over few pixels, each as far as it goes; asks for scores, never for gradients.
Croce et al. 2022, "Sparse-RS" (arXiv 2006.12834, algorithms 1 and 2, l0), for scores in place of margins; on quality
metrics in georgebychkov/black-box-iqa, code/methods/l0-rs."""

from dataclasses import KW_ONLY
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from robust_iqa_jax.attacks.arguments import Images
from robust_iqa_jax.attacks.ascent import Result, stronger
from robust_iqa_jax.attacks.core import Attack
from robust_iqa_jax.attacks.objective import Direction, ScoreFunction, objective
from robust_iqa_jax.attacks.settings import traced

SCHEDULE = ((0, 2), (50, 4), (200, 5), (500, 6), (1000, 8), (2000, 10), (4000, 12), (6000, 15), (8000, 20))
"""Proposal of a search of 10,000 after which the share of exchanged pixels is the first one divided by so much."""


@traced("pixels", "queries", "share")
class SparseRS(Attack):
    """Random search for `pixels` pixels and their colours, corners of the colour cube, that move the score most.

    A proposal gives some of the pixels their clean colours back and paints as many others; it is kept only where it
    raises the objective. The change of a pixel is not bounded, and all other pixels are those of the photo.

    Attributes:
      pixels: how many may differ from the clean ones, >= 1; an image with fewer pixels may differ in all.
      queries: scores asked for each image, the start included, >= 1.
      share: of the pixels that the first proposals exchange, in (0, 1]; 0.3 in the paper.

    Raises:
      ValueError: a number that is not positive, or not whole where it counts, an unknown direction.
    """

    kind = "sparse-rs"
    pixels: Any = 150
    queries: Any = 1000
    _: KW_ONLY
    share: Any = 0.3
    direction: Direction = "raise"

    @property
    def effort(self) -> str:
        """The pixels and the queries."""
        return f"{int(self.pixels)}px-{int(self.queries)}"

    def perturb(self, scorer: ScoreFunction, keys: Array, images: Images) -> Result:
        """The attack as a pure function; one key an image."""
        target = objective(scorer, images, self.direction)
        fold = jax.vmap(jax.random.fold_in, (0, None))
        pixels = jnp.minimum(self.pixels, images.shape[1] * images.shape[2])

        def query(i: Array, best: tuple[Array, Array]) -> tuple[Array, Array]:
            count = exchanged(i, self.queries, pixels, self.share)
            proposed = jax.vmap(lambda key, image, at: exchange(key, image, at, count))(fold(keys, i), images, best[1])
            return stronger(best, (target(proposed), proposed))

        start = jax.vmap(lambda key, image: paint(key, image, jnp.ones(image.shape[:2], bool), pixels))
        first = start(fold(keys, 0), images)
        scores = target(first)
        return Result(jax.lax.fori_loop(1, self.queries, query, (scores, first))[1], jnp.isfinite(scores))


def exchanged(query: Any, queries: Any, pixels: Any, share: Any) -> Int[Array, ""]:
    """How many pixels a proposal exchanges, at least one.

    Args:
      query: proposals made so far, the start included.
      queries: length of the search, to which the schedule is rescaled.
      pixels: that differ.
      share: the first proposals'.
    """
    place = jnp.asarray(query, jnp.float32) / queries * 10_000
    last = jnp.searchsorted(jnp.asarray([float(begin) for begin, _ in SCHEDULE]), place, side="left")
    divisors = jnp.asarray([1.0, *(float(divisor) for _, divisor in SCHEDULE)])
    return jnp.maximum(jnp.floor(share / divisors[last] * pixels), 1).astype(jnp.int32)


def exchange(key: Array, image: Float[Array, "h w c"], best: Float[Array, "h w c"], count: Array) -> Array:
    """The best so far with `count` of its pixels clean again and as many others painted; where too few others are
    clean, those are painted anew too."""
    where, colour = jax.random.split(key)
    differs = jnp.any(best != image, -1)
    back = chosen(where, differs, count)
    allowed = ~differs | (back & (jnp.sum(~differs) < count))
    return paint(colour, jnp.where(back[..., None], image, best), allowed, count)


def paint(key: Array, image: Float[Array, "h w c"], allowed: Bool[Array, "h w"], count: Array) -> Array:
    """The image with `count` of the allowed pixels in colours of 0 and 1, other ones than they have."""
    where, colour = jax.random.split(key)
    colours = jax.random.bernoulli(colour, shape=image.shape).astype(image.dtype)
    colours = jnp.where(jnp.all(colours == image, -1, keepdims=True), 1 - colours, colours)
    return jnp.where(chosen(where, allowed, count)[..., None], colours, image)


def chosen(key: Array, allowed: Bool[Array, "h w"], count: Array) -> Bool[Array, "h w"]:
    """`count` places drawn from the allowed ones, or all of them where they are fewer."""
    draws = jnp.where(allowed, jax.random.uniform(key, allowed.shape), jnp.inf)
    in_order = jnp.append(jnp.sort(draws.ravel()), jnp.inf)
    return draws < in_order[jnp.minimum(count, draws.size)]
