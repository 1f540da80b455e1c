"""Feature maps at another height and width: two resizes as one matrix product a side, and patches as channels.
Semantics of torch.nn.functional.interpolate(mode="bilinear", align_corners=True) and adaptive_avg_pool2d; arXiv
2104.07167 and 1802.07088 (patches: invertible downsampling)."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float


def resize_aligned(x: Float[Array, "n h w c"], size: tuple[int, int]) -> Float[Array, "n h2 w2 c"]:
    """Bilinear resize whose corner pixels stay where they are; the identity where the size is already right.

    Pixel i of `out` ones is read at i (in - 1) / (out - 1), without a filter where the map shrinks.

    Args:
      x: (n, h, w, c).
      size: (height, width), both >= 1.

    Returns:
      (n, *size, c).
    """
    return _along_both(x, size, _aligned)


def adaptive_average_pool(x: Float[Array, "n h w c"], size: tuple[int, int]) -> Float[Array, "n h2 w2 c"]:
    """Means over windows from floor(i in / out) up to ceil((i + 1) in / out), overlapping where they have to.

    Args:
      x: (n, h, w, c).
      size: (height, width), both >= 1; a map that is smaller than that is repeated.

    Returns:
      (n, *size, c).
    """
    return _along_both(x, size, _windows)


def space_to_depth(x: Float[Array, "n h w c"], strides: tuple[int, int] = (2, 2)) -> Float[Array, "n h2 w2 c2"]:
    """Every patch of (sh, sw) pixels as the channels of one: an isometry that shrinks the map, and a bijection.

    (n, h, w, c) -> (n, h / sh, w / sw, c sh sw), channels ordered by channel, then row, then column of the patch.

    Raises:
      ValueError: strides below 1, or ones that do not divide the map.
    """
    (n, h, w, c), (sh, sw) = x.shape, strides
    if min(strides) < 1 or h % sh or w % sw:
        raise ValueError(
            f"strides {sh} x {sw} do not divide maps of {h} x {w}; pad or crop them, or choose strides that do"
        )
    patches = x.reshape(n, h // sh, sh, w // sw, sw, c)
    return patches.transpose(0, 1, 3, 5, 2, 4).reshape(n, h // sh, w // sw, c * sh * sw)


def depth_to_space(x: Float[Array, "n h w c"], strides: tuple[int, int] = (2, 2)) -> Float[Array, "n h2 w2 c2"]:
    """The inverse of `space_to_depth`: (n, h, w, c) -> (n, h sh, w sw, c / (sh sw)).

    Raises:
      ValueError: strides below 1, or channels that are no multiple of sh sw.
    """
    (n, h, w, c), (sh, sw) = x.shape, strides
    if min(strides) < 1 or c % (sh * sw):
        raise ValueError(f"strides {sh} x {sw} need a multiple of {sh * sw} channels, got {c}")
    patches = x.reshape(n, h, w, c // (sh * sw), sh, sw)
    return patches.transpose(0, 1, 4, 2, 5, 3).reshape(n, h * sh, w * sw, c // (sh * sw))


def _along_both(x: Array, size: tuple[int, int], weights: Callable[[int, int], np.ndarray]) -> Array:
    if x.shape[1:3] == tuple(size):
        return x
    rows, columns = (jnp.asarray(weights(*sides), x.dtype) for sides in zip(size, x.shape[1:3], strict=True))
    return jnp.einsum("ph,qw,nhwc->npqc", rows, columns, x, precision=lax.Precision.HIGHEST)


def _aligned(out: int, side: int) -> np.ndarray:
    at = np.linspace(0, side - 1, out)
    low = np.minimum(at.astype(int), side - 1)
    weights = np.zeros((out, side))
    np.add.at(weights, (np.arange(out), low), 1 - (at - low))
    np.add.at(weights, (np.arange(out), np.minimum(low + 1, side - 1)), at - low)
    return weights


def _windows(out: int, side: int) -> np.ndarray:
    weights = np.zeros((out, side))
    for i in range(out):
        window = slice(i * side // out, -(-(i + 1) * side // out))
        weights[i, window] = 1 / (window.stop - window.start)
    return weights
