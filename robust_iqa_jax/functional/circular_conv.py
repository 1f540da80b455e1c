"""Convolution on a torus: cross-correlation with wrapped borders, the kind that a DFT diagonalises."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.functional.spectral import HIGHEST


def circular_conv(x: Float[Array, "n h w i"], taps: Float[Array, "kh kw i o"]) -> Float[Array, "n h w o"]:
    """Cross-correlation with wrapped borders, centre tap (k - 1) // 2, same size.

    On CPU a sum over taps of matrix products, which keeps the rate of large products at every batch (XLA's convolution
    and its gradients fall to a third of it at batch 8); elsewhere the native convolution.

    Args:
      x: (n, h, w, in).
      taps: (kh, kw, in, out); maps smaller than the kernel are wrapped around as often as it takes.

    Returns:
      (n, h, w, out).
    """
    if taps.shape[-1] == 0 or taps.shape[-2] == 0:
        return jnp.zeros((*x.shape[:3], taps.shape[-1]), x.dtype)
    pads = [((k - 1) // 2, k - 1 - (k - 1) // 2) for k in taps.shape[:2]]
    wrapped = jnp.pad(x, ((0, 0), *pads, (0, 0)), mode="wrap")
    return jax.lax.platform_dependent(wrapped, taps, cpu=_sum_over_taps, default=_native)


def _native(wrapped: Array, taps: Array) -> Array:
    return jax.lax.conv_general_dilated(
        wrapped, taps, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"), precision=HIGHEST
    )


def _sum_over_taps(wrapped: Array, taps: Array) -> Array:
    kh, kw, ci, co = taps.shape
    n, h, w = wrapped.shape[0], wrapped.shape[1] - kh + 1, wrapped.shape[2] - kw + 1
    total = jnp.zeros((n * h * w, co), wrapped.dtype)
    for r in range(kh):
        for c in range(kw):
            pixels = wrapped[:, r : r + h, c : c + w].reshape(-1, ci)
            total = total + jnp.matmul(pixels, taps[r, c], precision=HIGHEST)
    return total.reshape(n, h, w, co)
