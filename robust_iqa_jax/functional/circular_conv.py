"""Convolution on a torus: cross-correlation with wrapped borders, the kind that a DFT diagonalises."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.functional.conv2d import conv2d


def circular_conv(x: Float[Array, "n h w i"], taps: Float[Array, "kh kw i o"]) -> Float[Array, "n h w o"]:
    """Cross-correlation with wrapped borders, centre tap (k - 1) // 2, same size.

    Args:
      x: (n, h, w, in).
      taps: (kh, kw, in, out); maps smaller than the kernel are wrapped around as often as it takes.

    Returns:
      (n, h, w, out).
    """
    if taps.shape[-1] == 0 or taps.shape[-2] == 0:
        return jnp.zeros((*x.shape[:3], taps.shape[-1]), x.dtype)
    pads = [((k - 1) // 2, k - 1 - (k - 1) // 2) for k in taps.shape[:2]]
    return conv2d(jnp.pad(x, ((0, 0), *pads, (0, 0)), mode="wrap"), taps)
