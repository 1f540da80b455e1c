"""Square Attack: random search with squares (linf) or pairs of windows (l2); asks for scores, never for gradients.
Andriushchenko et al. 2020, "Square Attack" (arXiv 1912.00049), algorithms 1 to 3, for scores in place of margins;
Ran et al., "Black-box adversarial attacks against image quality assessment models" (GZHU-DVL/AttackIQA, main.py)."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from robust_iqa_jax.attacks.arguments import Images
from robust_iqa_jax.attacks.ascent import Result, stronger
from robust_iqa_jax.attacks.ball import BALLS, Norm
from robust_iqa_jax.attacks.core import Attack
from robust_iqa_jax.attacks.objective import Direction, ScoreFunction, objective
from robust_iqa_jax.attacks.settings import traced

Image = Float[Array, "h w c"]

HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Where the share of changed pixels halves in a search of 10,000; the authors' program (the paper leaves out 500)."""


@traced("eps", "queries", "share")
class Square(Attack):
    """Random search that keeps a proposal only where it raises the objective.

    linf starts at vertical stripes of +-eps and paints squares of +-eps, one sign a channel. l2 starts at tiles and
    moves the length of one window to another, as a two-sided bump. Both use the whole ball at every query. The scorer
    may be opaque, such as a jax.pure_callback.

    Attributes:
      queries: scores asked for each image, the start included, >= 1; all directions but "raise" and
        "lower" ask for the clean score besides, and the first call with a scorer for two scores more.
      share: share of the pixels that the first squares cover, in (0, 1]: 0.8 as in AutoAttack (Croce and Hein 2020,
        arXiv 2003.01690), which suits hundreds of queries; the paper has 0.05 (linf) and 0.1 (l2) for 10,000.
      squares: painted (linf), or pairs of windows moved (l2), a proposal, >= 1; Ran et al. have 2.
    """

    kind = "square"
    eps: Any = 4 / 255
    queries: Any = 1000
    _: KW_ONLY
    direction: Direction = "raise"
    norm: Norm = "linf"
    share: Any = 0.8
    squares: int = 1

    @property
    def effort(self) -> str:
        """The queries."""
        return str(int(self.queries))

    @property
    def traits(self) -> tuple[str, ...]:
        """The squares, where there are several."""
        return (f"{self.squares}squares",) if self.squares > 1 else ()

    def perturb(self, scorer: ScoreFunction, keys: Array, images: Images) -> Result:
        """The attack as a pure function; one key an image."""
        target = objective(scorer, images, self.direction)
        search, ball, eps = SEARCHES[self.norm], BALLS[self.norm], jnp.asarray(self.eps, images.dtype)
        fold = jax.vmap(jax.random.fold_in, (0, None))

        def scored(proposed: Images) -> tuple[Array, Images]:
            inside = ball.finish(images, (proposed - images).astype(images.dtype), eps)
            return target(inside), inside

        def query(i: Array, best: tuple[Array, Images]) -> tuple[Array, Images]:
            side = search.side(share_at(i - 1, self.queries, self.share), images.shape[1], images.shape[2])
            propose = jax.vmap(lambda key, image, at: search.propose(key, image, at, side, eps))
            drawn, proposed = fold(keys, i), best[1]
            for square in range(self.squares):
                proposed = propose(fold(drawn, square) if square else drawn, images, proposed)
            return stronger(best, scored(proposed))

        start = jax.vmap(lambda key, image: search.start(key, image, eps))(fold(keys, 0), images)
        first = scored(start)
        return Result(jax.lax.fori_loop(1, self.queries, query, first)[1], jnp.isfinite(first[0]))


@traced("eps", "queries", "share")
class MultiSquare(Square):
    """Square Attack with two squares a proposal, towards the other end of the scale; Ran et al.'s settings.

    Their "bi-directional loss" is direction "opposite": scores above the middle fall, the others rise.
    """

    kind = "multi-square"
    eps: Any = 3 / 255
    _: KW_ONLY
    direction: Direction = "opposite"
    share: Any = 0.04
    squares: int = 2


def share_at(iteration: Any, queries: Any, share: Any) -> Float[Array, ""]:
    """Share of the pixels that a square covers: `share`, halved along HALVINGS, which are rescaled to `queries`.

    Args:
      iteration: proposals made so far, 0 at the first.
      queries: length of the search.
      share: the first share.
    """
    position = jnp.asarray(iteration, jnp.float32) / queries * 10_000
    return share / 2.0 ** jnp.sum(position > jnp.asarray(HALVINGS, jnp.float32))


@dataclass(frozen=True)
class Search:
    """How one norm's ball is searched; images are single ones (h, w, c).

    Attributes:
      start: (key, image, eps) -> first proposal.
      side: (share, h, w) -> side of a square.
      propose: (key, image, best, side, eps) -> next proposal, from the best so far.
    """

    start: Callable[[Array, Image, Array], Image]
    side: Callable[[Array, int, int], Array]
    propose: Callable[[Array, Image, Image, Array, Array], Image]


def _stripes(key: Array, image: Image, eps: Array) -> Image:
    signs = jax.random.rademacher(key, (1, *image.shape[1:]), image.dtype)
    return jnp.clip(image + eps * signs, 0, 1)


def _side(share: Array, h: int, w: int) -> Int[Array, ""]:
    return jnp.clip(jnp.round(jnp.sqrt(share * h * w)), 1, max(min(h, w) - 1, 1)).astype(jnp.int32)


def _square(key: Array, image: Image, best: Image, side: Array, eps: Array) -> Image:
    where, colour = jax.random.split(key)
    inside = _window(where, image, side)[2][..., None]
    signs = jax.random.rademacher(colour, (1, 1, image.shape[-1]), image.dtype)
    painted = jnp.where(inside, jnp.clip(image + eps * signs, 0, 1), best)
    opposite = jnp.where(inside, jnp.clip(image - eps * signs, 0, 1), best)
    # A query must not be spent on what is there already; the authors draw again until something changes.
    return jnp.where(jnp.all(painted == best), opposite, painted)


def _window(key: Array, image: Image, side: Array) -> tuple[Int[Array, "h 1"], Int[Array, "1 w"], Bool[Array, "h w"]]:
    """Rows and columns counted from the corner of a square drawn inside the image, and which pixels it holds."""
    corners = jax.random.randint(key, (2,), 0, jnp.asarray(image.shape[:2]) - side + 1)
    row = jnp.arange(image.shape[0])[:, None] - corners[0]
    column = jnp.arange(image.shape[1])[None] - corners[1]
    return row, column, (row >= 0) & (row < side) & (column >= 0) & (column < side)


def _tiles(key: Array, image: Image, eps: Array) -> Image:
    """Two-sided bumps on a grid of about five by five tiles, one sign a tile and channel."""
    h, w, c = image.shape
    side = max(min(h, w) // 5, min(h, w, 2))
    rows, columns = h // side, w // side
    colour, turn = jax.random.split(key)
    grid = jnp.arange(side)
    bump = _bump(grid[:, None], grid[None], jnp.asarray(side), side)
    turned = jax.random.bernoulli(turn, shape=(rows, columns, 1, 1))
    tiles = jnp.where(turned, bump.T, bump)[..., None] * jax.random.rademacher(colour, (rows, columns, 1, 1, c))
    pattern = tiles.transpose(0, 2, 1, 3, 4).reshape(rows * side, columns * side, c).astype(image.dtype)
    top, left = (h - rows * side) // 2, (w - columns * side) // 2
    delta = jnp.zeros_like(image).at[top : top + rows * side, left : left + columns * side].set(pattern)
    return jnp.clip(image + _to_length(delta, eps), 0, 1)


def _odd_side(share: Array, h: int, w: int) -> Int[Array, ""]:
    """Odd and at least 3, so that a bump has a middle; no larger than the image."""
    side = jnp.maximum(_side(share, h, w), 3)
    return jnp.minimum(side + 1 - side % 2, min(h, w))


def _two_windows(key: Array, image: Image, best: Image, side: Array, eps: Array) -> Image:
    """One window is emptied and its length goes to another, whose content gets a bump on top."""
    here, there, colour, turn = jax.random.split(key, 4)
    row, column, inside = _window(here, image, side)
    emptied = _window(there, image, side)[2]
    delta = best - image
    turned = jax.random.bernoulli(turn)
    bump = _bump(jnp.where(turned, column, row), jnp.where(turned, row, column), side, max(image.shape[:2]))
    bump = jnp.where(inside, bump, 0)[..., None] * jax.random.rademacher(colour, (1, 1, image.shape[-1]), image.dtype)
    old = jnp.where(inside[..., None], delta, 0)
    fresh = bump + old / jnp.maximum(_channel_length(old), _SMALLEST)
    freed = _channel_length(jnp.where((inside | emptied)[..., None], delta, 0)) ** 2
    unused = jnp.maximum(eps**2 - jnp.sum(delta**2), 0) / image.shape[-1]
    fresh = fresh / jnp.maximum(_channel_length(fresh), _SMALLEST) * jnp.sqrt(unused + freed)
    moved = jnp.where(inside[..., None], fresh, jnp.where(emptied[..., None], 0, delta))
    return jnp.clip(image + _to_length(moved, eps), 0, 1)


_SMALLEST = 1e-12


def _bump(row: Array, column: Array, side: Array, largest: int) -> Float[Array, "h w"]:
    """The authors' pattern on a square: rings around the middle of each half, one half up and one down, length one."""
    upper = side // 2
    top, bottom = _rings(row, column, upper, side, largest), _rings(row - upper, column, side - upper, side, largest)
    return (top - bottom) / jnp.sqrt(2.0)


def _rings(row: Array, column: Array, rows: Array, columns: Array, largest: int) -> Float[Array, "h w"]:
    """sum of 1 / k^2 from the ring of a pixel to the outermost one, on rows x columns pixels; length one."""
    sums = jnp.concatenate([jnp.zeros(1), jnp.cumsum(1 / jnp.arange(1, largest + 2) ** 2)])
    ring = jnp.maximum(jnp.abs(row - rows // 2), jnp.abs(column - columns // 2))
    inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
    height = jnp.where(inside, sums[jnp.maximum(rows, columns) // 2 + 1] - sums[jnp.minimum(ring, largest + 1)], 0)
    return height / jnp.maximum(jnp.sqrt(jnp.sum(height**2)), _SMALLEST)


def _channel_length(delta: Image) -> Float[Array, "1 1 c"]:
    return jnp.sqrt(jnp.sum(delta**2, (0, 1), keepdims=True))


def _to_length(delta: Image, eps: Array) -> Image:
    return delta * (eps / jnp.maximum(jnp.sqrt(jnp.sum(delta**2)), _SMALLEST))


SEARCHES: dict[Norm, Search] = {
    "linf": Search(_stripes, _side, _square),
    "l2": Search(_tiles, _odd_side, _two_windows),
}
