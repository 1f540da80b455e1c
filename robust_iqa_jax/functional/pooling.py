"""Poolings of feature maps: PyTorch's over windows, L2 (TReS), spatial pyramid statistics (LinearityIQA), to a square.
Sources: torch.nn.MaxPool2d, AvgPool2d; arXiv 1511.06394, isalirezag/TReS models.py (window and padding of L2);
lidq92/LinearityIQA IQAmodel.py; arXiv 2506.04951 (rule in sources.md 1.1)."""

import math
from collections.abc import Callable
from functools import reduce
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

SpspKind = Literal["avg", "max", "min", "std", "max+min", "mean+std"]


def max_pool(x: Float[Array, "n h w c"], window: int, stride: int, padding: int = 0) -> Float[Array, "n h2 w2 c"]:
    """Maxima of square windows that lie wholly in the padded map.

    Args:
      x: (n, h, w, c).
      window, stride: in pixels, along both sides.
      padding: pixels on every side that no maximum counts; below `window`, or windows without a pixel give -inf.

    Returns:
      (n, (h + 2 padding - window) // stride + 1, ..., c).
    """
    return _over_windows(jnp.maximum, -jnp.inf, x, window, stride, padding)


def avg_pool(x: Float[Array, "n h w c"], window: int, stride: int, padding: int = 0) -> Float[Array, "n h2 w2 c"]:
    """Means of square windows over the pixels of the map alone: padding counts neither as zeros nor in the number.

    PyTorch calls this count_include_pad=False; its default is the other. Arguments and shape as `max_pool`.
    """
    total = _over_windows(jnp.add, 0.0, x, window, stride, padding)
    covered = []
    for side, pooled in zip(x.shape[1:3], total.shape[1:3], strict=True):
        begin = np.arange(pooled) * stride - padding
        covered.append(np.minimum(begin + window, side) - np.maximum(begin, 0))
    return total / jnp.asarray(np.outer(*covered)[None, ..., None], x.dtype)


def _over_windows(
    join: Callable[[Array, Array], Array], fill: float, x: Array, window: int, stride: int, padding: int
) -> Array:
    """Shifted maps joined along one side, then along the other: XLA's reduce_window takes a CPU twice as long, and the
    gradient of its maxima three times."""
    x = jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)), constant_values=fill)
    for axis in (1, 2):
        last = (x.shape[axis] - window) // stride * stride + 1
        x = reduce(join, (jax.lax.slice_in_dim(x, i, i + last, stride, axis) for i in range(window)))
    return x


def l2_pool(x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
    """Root of a smooth local mean of squares, sqrt(g * x^2 + 1e-12), without a stride.

    g = outer(v, v) is the Hann window, v = (1/4, 1/2, 1/4); beyond the border there are zeros.

    Args:
      x: (n, h, w, c).

    Returns:
      (n, h, w, c), at least 1e-6.
    """
    rows = jnp.pad(x**2, ((0, 0), (1, 1), (0, 0), (0, 0)))
    rows = 0.25 * rows[:, :-2] + 0.5 * rows[:, 1:-1] + 0.25 * rows[:, 2:]
    both = jnp.pad(rows, ((0, 0), (0, 0), (1, 1), (0, 0)))
    both = 0.25 * both[:, :, :-2] + 0.5 * both[:, :, 1:-1] + 0.25 * both[:, :, 2:]
    return jnp.sqrt(both + 1e-12)


def spsp_pool(x: Float[Array, "n h w c"], levels: int = 1, kind: SpspKind = "avg") -> Float[Array, "n f"]:
    """Spatial pyramid statistics pooling: for p = 1..levels, windows (H//p, W//p) with stride = window, concatenated.

    Args:
      x: (n, h, w, c).
      levels: P >= 1; P = 1 with "avg" is global average pooling, the paper's setting.
      kind: statistic of a window; the two-part kinds give twice the features. The standard deviation is the
        population's, floored at 1e-4 so that its gradient stays finite on flat windows.

    Returns:
      (n, features), channel-major within a level (the order of a flattened NCHW map).

    Raises:
      ValueError: unknown kind, levels < 1, or more levels than pixels along a side.
    """
    if kind not in get_args(SpspKind):
        raise ValueError(f"spsp_pool: unknown kind {kind!r}; choose one of {list(get_args(SpspKind))}")
    if not 1 <= levels <= min(x.shape[1:3]):
        raise ValueError(
            f"spsp_pool: levels must lie in 1..{min(x.shape[1:3])} for maps of {x.shape[1:3]}, got {levels}"
        )
    features = []
    for p in range(1, levels + 1):
        height, width = x.shape[1] // p, x.shape[2] // p
        rows, columns = x.shape[1] // height, x.shape[2] // width
        windows = x[:, : rows * height, : columns * width].reshape(-1, rows, height, columns, width, x.shape[-1])
        for part in kind.split("+"):
            features.append(_statistic(windows, part).transpose(0, 3, 1, 2).reshape(x.shape[0], -1))
    return jnp.concatenate(features, axis=-1)


def _statistic(windows: Array, part: str) -> Array:
    if part == "max":
        return windows.max((2, 4))
    if part == "min":
        return windows.min((2, 4))
    if part == "std":
        return jnp.sqrt(jnp.maximum(windows.var((2, 4)), 1e-8))
    return windows.mean((2, 4))


def pool_to_square(x: Float[Array, "n h w c"]) -> Float[Array, "n s s c"]:
    """Max-pool a landscape or portrait map to a square one, stride 1; square maps pass unchanged.

    With d the difference of the sides and u = ceil(0.02 short) + 1 the window is u along the short side and u + d
    along the long one, which leaves short - u + 1 on both. The sources do this for landscape only; portrait mirrors it.

    Args:
      x: (n, h, w, c).

    Returns:
      (n, s, s, c).
    """
    height, width = x.shape[1:3]
    if height == width:
        return x
    short, long = min(height, width), max(height, width)
    u = math.ceil(0.02 * short) + 1
    window = (u, u + long - short) if width > height else (u + long - short, u)
    return _running_max(_running_max(x, window[0], axis=1), window[1], axis=2)


def _running_max(x: Array, window: int, axis: int) -> Array:
    """Maxima of windows of neighbours along an axis, stride 1: of 1, 2, 4, ... of them, then of two that overlap.

    A CPU takes five times as long over XLA's reduce_window with 2 x 12 pixels.
    """
    length, covered = x.shape[axis] - window + 1, 1
    while 2 * covered <= window:
        rest = x.shape[axis] - covered
        x = jnp.maximum(
            jax.lax.slice_in_dim(x, 0, rest, axis=axis), jax.lax.slice_in_dim(x, covered, covered + rest, axis=axis)
        )
        covered *= 2
    shift = window - covered
    return jnp.maximum(
        jax.lax.slice_in_dim(x, 0, length, axis=axis), jax.lax.slice_in_dim(x, shift, shift + length, axis=axis)
    )
