"""The transforms by jnp.fft: the plain form, and the fast one on CPU."""

import jax.numpy as jnp
from jaxtyping import Array, Complex, Float


def rfft2(x: Float[Array, "n h w c"]) -> Complex[Array, "n h k c"]:
    """Spectrum over height and width, k = w // 2 + 1."""
    return jnp.fft.rfft2(x, axes=(1, 2))


def irfft2(spectrum: Complex[Array, "n h k c"], size: tuple[int, int]) -> Float[Array, "n h w c"]:
    """Map of the given (h, w) from its spectrum; w is needed because k belongs to 2k - 2 and to 2k - 1 columns."""
    return jnp.fft.irfft2(spectrum, s=size, axes=(1, 2))
