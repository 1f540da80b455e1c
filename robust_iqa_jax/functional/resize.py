"""Resize of [0,1] images inside a score function, by a triangle filter that widens when it shrinks.
Same filter as Pillow's BILINEAR, without its rounding to 8 bits between the two passes (`data.images.at_size`)."""

from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float64, Int


def resize(images: Float[Array, "n h w c"], size: tuple[int, int]) -> Float[Array, "n h2 w2 c"]:
    """Resize images (n, h, w, c) to (n, *size, c); the identity where the size is already right.

    Within 1/255 of Pillow's bilinear resize of 8-bit images. Half precision is computed in float32.
    """
    if images.shape[1:3] == size:
        return images
    dtype = jnp.promote_types(images.dtype, jnp.float32)
    down, across = (jnp.asarray(_dense(n, m), dtype) for n, m in zip(images.shape[1:3], size, strict=True))
    # The sums of a photo's few hundred rows must not be rounded as a GPU's fast products round.
    product = jnp.einsum("ih,nhwc,jw->nijc", down, images.astype(dtype), across, precision=jax.lax.Precision.HIGHEST)
    return product.astype(images.dtype)


@lru_cache(maxsize=32)
def largest_stretch(n: int, m: int) -> float:
    """Largest singular value of `resize` from n to m pixels along one side: how much it stretches l2 lengths."""
    return 1.0 if n == m else float(np.linalg.norm(_dense(n, m), 2))


def _dense(n: int, m: int) -> Float64[np.ndarray, "m n"]:
    weights = _weights(n, m)
    dense = np.zeros((m, n))
    dense[weights.rows, weights.columns] = weights.heights
    return dense


class _Weights(NamedTuple):
    """Of the old samples `columns` for the new ones `rows`: few of all pairs, so these are what is kept."""

    rows: Int[np.ndarray, " k"]
    columns: Int[np.ndarray, " k"]
    heights: Float64[np.ndarray, " k"]


@lru_cache(maxsize=32)
def _weights(n: int, m: int) -> _Weights:
    """The weights (m, n) of n samples for each of m: triangles around the new samples' centres, as wide as the larger
    of the old and the new distance, each cut off at the border and scaled to the sum 1."""
    width = max(n / m, 1.0)
    centres = (np.arange(m) + 0.5) * (n / m) - 0.5
    first = np.maximum(0, np.floor(centres - width).astype(int))
    count = np.minimum(n, np.ceil(centres + width).astype(int) + 1) - first
    rows = np.repeat(np.arange(m), count)
    columns = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count - first, count)
    heights = np.maximum(0.0, 1 - np.abs(columns - centres[rows]) / width)
    heights /= np.bincount(rows, heights, m)[rows]
    return _Weights(rows, columns, heights)
