"""Convolution on a torus: cross-correlation with wrapped borders, the kind that a DFT diagonalises."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.functional.spectral import HIGHEST


def circular_conv(x: Float[Array, "n h w i"], taps: Float[Array, "kh kw i o"]) -> Float[Array, "n h w o"]:
    """Cross-correlation with wrapped borders, centre tap (k - 1) // 2, same size."""
    if taps.shape[-1] == 0 or taps.shape[-2] == 0:
        return jnp.zeros((*x.shape[:3], taps.shape[-1]), x.dtype)
    pads = [((k - 1) // 2, k - 1 - (k - 1) // 2) for k in taps.shape[:2]]
    wrapped = jnp.pad(x, ((0, 0), *pads, (0, 0)), mode="wrap")
    return jax.lax.conv_general_dilated(
        wrapped, taps, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"), precision=HIGHEST
    )
