"""Filters of images by their neighbourhoods: Gaussian blur, unsharp mask and median, mirrored at the borders.
Values are those of scipy.ndimage and scikit-image at mode "reflect"."""

import math
from collections.abc import Sequence
from functools import partial
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float64

Images = Float[Array, "n h w c"]

TRUNCATE = 4.0
"""Half width of the Gaussian kernel in standard deviations, scipy's."""


def gaussian_blur(images: Images, sigma: float) -> Images:
    """Images convolved with a Gaussian of standard deviation `sigma` pixels, cut off at TRUNCATE of them.

    A linear map whose rows sum to one. Half precision is computed in float32.
    """
    dtype = jnp.promote_types(images.dtype, jnp.float32)
    down, across = (jnp.asarray(_gaussian(size, sigma), dtype) for size in images.shape[1:3])
    product = jnp.einsum("ih,nhwc,jw->nijc", down, images.astype(dtype), across, precision=jax.lax.Precision.HIGHEST)
    return product.astype(images.dtype)


def windowed_blur(images: Images, sigma: Float[Array, " n"], side: int) -> Images:
    """Each image convolved with its own Gaussian, cut off at a window of side x side pixels and rescaled to sum to one.

    Args:
      images: any range.
      sigma: standard deviations in pixels, one an image; they may be traced.
      side: odd.
    """
    border = side // 2
    heights = jnp.exp(-0.5 * (jnp.arange(-border, border + 1)[:, None] / sigma[None]) ** 2).astype(images.dtype)
    weights = (heights / heights.sum(0, keepdims=True))[..., None, None, None]
    padded = jnp.pad(images, ((0, 0), (border, border), (border, border), (0, 0)), "symmetric")
    _, h, w, _ = images.shape
    down = cast(Array, sum(weight * padded[:, i : i + h] for i, weight in enumerate(weights)))
    return cast(Array, sum(weight * down[:, :, j : j + w] for j, weight in enumerate(weights)))


def unsharp_mask(images: Images, sigma: float, amount: float) -> Images:
    """x + amount (x - blurred x), clipped to [0,1]."""
    return sharpened(images, gaussian_blur(images, sigma), amount)


def sharpened(images: Images, blurred: Images, amount: float | Array) -> Images:
    """Images pushed away from blurred ones by an amount, one for all or (n, 1, 1, 1), clipped to [0,1]."""
    return jnp.clip(images + amount * (images - blurred), 0, 1)


def median_filter(images: Images, side: int) -> Images:
    """The median of each channel over the side x side pixels around each.

    Differentiated as what it is almost everywhere, a choice among pixels; pixels that are equal to the median share the
    derivative.

    Raises:
      ValueError: an even side, or one below 1.
    """
    if side < 1 or side % 2 == 0:
        raise ValueError(f"median_filter: an odd side of 1 or more expected, got {side}")
    return _median(images, side)


def _gaussian(size: int, sigma: float) -> Float64[np.ndarray, "n n"]:
    """The blur along one side of `size` pixels as a matrix, whose borders mirror (d c b a | a b c d | d c b a)."""
    radius = math.floor(TRUNCATE * sigma + 0.5)
    heights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    places = (np.arange(size)[:, None] + np.arange(-radius, radius + 1)) % (2 * size)
    matrix = np.zeros((size, size))
    rows = np.broadcast_to(np.arange(size)[:, None], places.shape)
    np.add.at(matrix, (rows, np.minimum(places, 2 * size - 1 - places)), heights / heights.sum())
    return matrix


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _median(images: Images, side: int) -> Images:
    return _middle(_neighbours(images, side))


@_median.defjvp
def _median_jvp(side: int, primals: tuple[Images], tangents: tuple[Images]) -> tuple[Images, Images]:
    result = jax.lax.optimization_barrier(_median(*primals, side))
    chosen = [(value == result).astype(result.dtype) for value in _neighbours(*primals, side)]
    moved = sum(c * t for c, t in zip(chosen, _neighbours(*tangents, side), strict=True))
    return result, cast(Array, moved) / cast(Array, sum(chosen))


def _neighbours(images: Images, side: int) -> list[Images]:
    """The images moved by each offset of a side x side neighbourhood."""
    _, h, w, _ = images.shape
    border = side // 2
    padded = jnp.pad(images, ((0, 0), (border, border), (border, border), (0, 0)), "symmetric")
    return [padded[:, i : i + h, j : j + w] for i in range(side) for j in range(side)]


def _middle(values: Sequence[Images]) -> Images:
    """The median of an odd number of arrays, entry by entry.

    Of any half of them and two more, the least and the greatest are not the median and are dropped, then the next one
    is looked at: minima and maxima of whole arrays, 30 times faster on CPU than sorting stacks of nine.
    """
    rest = list(values)
    seen, rest = rest[: len(rest) // 2 + 2], rest[len(rest) // 2 + 2 :]
    while len(seen) > 1:
        seen = jax.lax.optimization_barrier(_without_ends(seen)) + rest[:1]
        rest = rest[1:]
    return seen[0]


def _without_ends(values: Sequence[Images]) -> list[Images]:
    """Arrays that hold the same values entry by entry, but one least and one greatest."""
    values, last = list(values), len(values) - 1
    order = lambda i, j: (jnp.minimum(values[i], values[j]), jnp.maximum(values[i], values[j]))  # noqa: E731
    for i in range(len(values) // 2):  # the smaller ones to the front
        values[i], values[last - i] = order(i, last - i)
    for i in range(1, (len(values) + 1) // 2):
        values[0], values[i] = order(0, i)
    for i in range(len(values) // 2, last):
        values[i], values[last] = order(i, last)
    return values[1:-1]
