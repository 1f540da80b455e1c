"""Sines and cosines of a map's rows and columns, added to what attention compares.
Sources: arXiv 1706.03762 (sines), arXiv 2005.12872 (two axes, normalised); isalirezag/TReS posencode.py."""

import math

import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float


def sine_position_encoding(
    size: tuple[int, int], features: int, temperature: float = 1e4, dtype: DTypeLike = jnp.float32
) -> Float[Array, "h w f"]:
    """Position encoding of every pixel, the same for all images.

    With a = 2 pi r / (H + 1e-6) for row r = 1..H (columns alike) and m = features / 2 entries an axis,
    entry i is sin(a / temperature^(i / m)) for even i and cos(a / temperature^((i - 1) / m)) for odd i.

    Args:
      size: (H, W).
      features: of the encoding, a multiple of 4: the first half tells rows, the second columns.
      temperature: ratio of the longest period to the shortest, nearly.
      dtype: of the result; it is computed in float64.

    Returns:
      (H, W, features) in [-1, 1].

    Raises:
      ValueError: features that are no multiple of 4.
    """
    if features % 4:
        raise ValueError(f"sine_position_encoding: features must be a multiple of 4, got {features}")
    rows, columns = (_axis(n, features // 2, temperature) for n in size)
    shape = (*size, features // 2)
    encoding = np.concatenate([np.broadcast_to(rows[:, None], shape), np.broadcast_to(columns, shape)], axis=-1)
    return jnp.asarray(encoding, dtype)


def _axis(n: int, features: int, temperature: float) -> np.ndarray:
    angle = 2 * math.pi * np.arange(1, n + 1) / (n + 1e-6)
    angles = angle[:, None] / temperature ** (np.arange(0, features, 2) / features)
    return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(n, features)
