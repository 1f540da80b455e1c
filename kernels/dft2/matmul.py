"""The transforms as two products with small matrices of cosines and sines, for matrix units and small maps.
O(n^3) for n^2 points, but no transposition: the channels stay last throughout."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

HIGHEST = jax.lax.Precision.HIGHEST


def rfft2(x: Float[Array, "n h w c"]) -> Complex[Array, "n h k c"]:
    """Spectrum over height and width, k = w // 2 + 1."""
    n, h, w, c = x.shape
    k = w // 2 + 1
    angle = 2 * np.pi * np.outer(np.arange(k), np.arange(w)) / w
    columns = np.stack([np.cos(angle), -np.sin(angle)]).astype(x.dtype)  # (re/im, k, w)
    halves = jnp.einsum("pkw,nhwc->nphkc", columns, x, precision=HIGHEST)
    rows = _complex_product(-1, h).astype(x.dtype)
    both = jnp.matmul(rows, halves.reshape(n, 2 * h, k * c), precision=HIGHEST).reshape(n, 2, h, k, c)
    return jax.lax.complex(both[:, 0], both[:, 1])


def irfft2(spectrum: Complex[Array, "n h k c"], size: tuple[int, int]) -> Float[Array, "n h w c"]:
    """Map of the given (h, w) from its spectrum."""
    n, h, k, c = spectrum.shape
    w = size[1]
    dtype = spectrum.real.dtype
    parts = jnp.stack([spectrum.real, spectrum.imag], axis=1).reshape(n, 2 * h, k * c)
    rows = (_complex_product(1, h) / h).astype(dtype)
    halves = jnp.matmul(rows, parts, precision=HIGHEST).reshape(n, 2, h, k, c)
    # every column frequency but 0 and, for even w, w / 2 stands for itself and its conjugate
    twice = np.where((np.arange(k) == 0) | (2 * np.arange(k) == w), 1, 2) / w
    angle = 2 * np.pi * np.outer(np.arange(w), np.arange(k)) / w
    columns = np.stack([np.cos(angle) * twice, -np.sin(angle) * twice]).astype(dtype)  # (re/im, w, k)
    return jnp.einsum("pwk,nphkc->nhwc", columns, halves, precision=HIGHEST)


def _complex_product(sign: int, side: int) -> np.ndarray:
    """Real (2 side, 2 side) matrix of the complex DFT along one axis, on parts stacked as [real; imaginary]."""
    angle = sign * 2 * np.pi * np.outer(np.arange(side), np.arange(side)) / side
    return np.block([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
