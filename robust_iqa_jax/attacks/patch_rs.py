"""Patch-RS: random search for one small patch, its place and its colours; asks for scores, never for gradients.
Croce et al. 2022, "Sparse-RS" (arXiv 2006.12834, image-specific patches), for scores in place of margins; on quality
metrics in georgebychkov/black-box-iqa, code/methods/patch-rs."""

import math
from dataclasses import KW_ONLY
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from robust_iqa_jax.attacks.arguments import Images
from robust_iqa_jax.attacks.ascent import Result, stronger
from robust_iqa_jax.attacks.core import Attack
from robust_iqa_jax.attacks.objective import Direction, ScoreFunction, objective
from robust_iqa_jax.attacks.settings import traced
from robust_iqa_jax.attacks.square import HALVINGS, share_at

Patch = Float[Array, "s s c"]
Corner = Int[Array, "2"]

MOVES = 4
"""Every so many proposals the patch is moved instead of painted on."""
FARTHEST = 0.75
"""Share of the photo's sides by which the first proposals move it at most; it falls to zero along the search."""
SQUARES = 1000
"""Small squares of one colour each that the first patch is made of."""


@traced("queries", "share")
class PatchRS(Attack):
    """Random search for a square of side x side pixels, colours at the corners of the colour cube, that moves the score
    most; all other pixels are those of the photo.

    A proposal paints a smaller square of one colour into the patch, or moves the patch; once those squares are single
    pixels, in the second half of what is left, it flips one channel of one pixel. It is kept only where it raises the
    objective.

    Attributes:
      queries: scores asked for each image, the start included, >= 1; black-box-iqa has 10,000.
      side: of the patch in pixels, >= 1, or the image's shorter side where that is smaller; 13 in black-box-iqa.
      share: of the patch that the first squares cover, in (0, 1]; halved along Square Attack's schedule. 0.8 in
        black-box-iqa, 0.4 in the paper.

    Raises:
      ValueError: a number that is not positive, or not whole where it counts, an unknown direction.
    """

    kind = "patch-rs"
    queries: Any = 1000
    _: KW_ONLY
    side: int = 13
    share: Any = 0.4
    direction: Direction = "raise"

    @property
    def effort(self) -> str:
        """The side and the queries."""
        return f"{self.side}px-{int(self.queries)}"

    def perturb(self, scorer: ScoreFunction, keys: Array, images: Images) -> Result:
        """The attack as a pure function; one key an image."""
        target = objective(scorer, images, self.direction)
        fold = jax.vmap(jax.random.fold_in, (0, None))
        _, height, width, channels = images.shape
        side = min(self.side, height, width)
        room = jnp.array([height - side, width - side])
        flips_from = first_flip(self.queries, side, self.share)

        def placed(patches: Array, corners: Array) -> Images:
            put = lambda image, patch, at: jax.lax.dynamic_update_slice(image, patch, (at[0], at[1], 0))  # noqa: E731
            return jax.vmap(put)(images, patches, corners)

        def query(i: Array, best: tuple[Array, Any]) -> tuple[Array, Any]:
            patches, corners = best[1]
            reach = (FARTHEST * (1 - i / self.queries) * jnp.array([height, width])).astype(jnp.int32)
            square = square_side(i, self.queries, side, self.share)
            drawn = fold(keys, i)
            moved = jax.vmap(lambda key, at: move(key, at, reach, room))(fold(drawn, 0), corners)
            painted = jax.vmap(lambda key, patch: repaint(key, patch, square, i >= flips_from))(fold(drawn, 1), patches)
            moves = (i % MOVES == 0) & jnp.any(reach > 0)
            proposed = jnp.where(moves, patches, painted), jnp.where(moves, moved, corners)
            return stronger(best, (target(placed(*proposed)), proposed))

        begin = fold(keys, 0)
        corners = jax.vmap(lambda key: jax.random.randint(key, (2,), 0, room + 1))(fold(begin, 0))
        patches = jax.vmap(lambda key: first_patch(key, side, channels, images.dtype))(fold(begin, 1))
        scores = target(placed(patches, corners))
        _, best = jax.lax.fori_loop(1, self.queries, query, (scores, (patches, corners)))
        return Result(placed(*best), jnp.isfinite(scores))


def first_patch(key: Array, side: int, channels: int, dtype: Any) -> Patch:
    """Black, with SQUARES squares of random place, colour and side, below the root of the patch's."""
    largest = max(2, math.ceil(side**0.5))

    def paint(i: Array, patch: Patch) -> Patch:
        of_side, of_place, of_colour = jax.random.split(jax.random.fold_in(key, i), 3)
        size = jax.random.randint(of_side, (), 1, largest)
        return jnp.where(square_at(of_place, side, size), colour_of(of_colour, channels, dtype), patch)

    return jax.lax.fori_loop(0, SQUARES, paint, jnp.zeros((side, side, channels), dtype))


def square_at(key: Array, side: int, size: Array) -> Array:
    """(side, side, 1) whether a pixel lies in a square of `size` pixels a side at a random place in the patch."""
    row, column = jax.random.randint(key, (2,), 0, side - size + 1)
    places = jnp.arange(side)
    rows, columns = ((places >= first) & (places < first + size) for first in (row, column))
    return (rows[:, None] & columns[None, :])[..., None]


def colour_of(key: Array, channels: int, dtype: Any) -> Float[Array, "1 1 c"]:
    """A corner of the colour cube."""
    return jax.random.bernoulli(key, shape=(1, 1, channels)).astype(dtype)


def square_side(query: Any, queries: Any, side: int, share: Any) -> Int[Array, ""]:
    """Side of the square that a proposal paints, at least one pixel."""
    return jnp.maximum(jnp.sqrt(share_at(query, queries, share)) * side, 1).astype(jnp.int32)


def first_flip(queries: Any, side: int, share: Any) -> Int[Array, ""]:
    """The proposal from which single channels are flipped: half-way between the first single pixel and the end."""
    begins = jnp.array([0, *HALVINGS]) / 10_000 * queries
    sides = jnp.sqrt(share / 2.0 ** jnp.arange(len(HALVINGS) + 1)) * side
    first = jnp.min(jnp.where(sides < 2, begins, queries))
    return jnp.ceil((first + queries) / 2).astype(jnp.int32)


def move(key: Array, corner: Corner, reach: Corner, room: Corner) -> Corner:
    """The corner up to `reach` away in each direction, inside the photo."""
    return jnp.clip(corner + jax.random.randint(key, (2,), -reach, reach + 1), 0, room)


def repaint(key: Array, patch: Patch, size: Array, flip: Array) -> Patch:
    """A square of the patch in one colour, another one than it has where it is a pixel; or a channel of it flipped."""
    side, _, channels = patch.shape
    where, colour, of_channel = jax.random.split(key, 3)
    inside, new = square_at(where, side, size), colour_of(colour, channels, patch.dtype)
    same = (size == 1) & jnp.all((patch == new) | ~inside)
    painted = jnp.where(inside, jnp.where(same, 1 - new, new), patch)
    channel = jnp.arange(channels)[None, None] == jax.random.randint(of_channel, (), 0, channels)
    return jnp.where(flip, jnp.where(inside & channel, 1 - patch, patch), painted)
