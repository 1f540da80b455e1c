"""The Cayley convolution as it was published: an explicit Q for every frequency, from FFTs of zero-padded kernels.
Sources: arXiv 2104.07167 and arXiv 2506.04951. Same map as functional/cayley.py, at many times its cost."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from robust_iqa_jax.functional.cayley import Norm
from robust_iqa_jax.functional.spectral import HIGHEST
from robust_iqa_jax.kernels.cayley_solve.api import inverse


def explicit_cayley_conv(
    x: Float[Array, "n h w i"],
    kernel: Float[Array, "kh kw i o"],
    alpha: Float[Array, ""],
    bias: Float[Array, " o"],
    norm: Norm = "taps",
) -> Float[Array, "n h w o"]:
    """Y(f) = Q(f) X(f) with Q formed; arguments and result as functional.cayley.cayley_conv."""
    n, h, w, _ = x.shape
    q = orthogonal_spectrum(kernel, alpha, (h, w), norm)
    spectrum = jnp.fft.rfft2(x, axes=(1, 2)).reshape(n, -1, x.shape[-1])
    y = jnp.einsum("foi,nfi->nfo", q, spectrum, precision=HIGHEST).reshape(n, h, w // 2 + 1, -1)
    return jnp.fft.irfft2(y, s=(h, w), axes=(1, 2)) + bias


def orthogonal_spectrum(
    kernel: Float[Array, "kh kw i o"], alpha: Float[Array, ""], size: tuple[int, int], norm: Norm
) -> Complex[Array, "f o i"]:
    """Q(f) at every frequency that rfft2 keeps."""
    kh, kw, ci, co = kernel.shape
    padded = jnp.zeros((*size, ci, co), kernel.dtype)
    for r in range(kh):  # taps wrapped around the origin; on maps smaller than the kernel they add up
        for c in range(kw):
            padded = padded.at[(r - (kh - 1) // 2) % size[0], (c - (kw - 1) // 2) % size[1]].add(kernel[r, c])
    w = jnp.conj(jnp.fft.rfft2(padded, axes=(0, 1))).reshape(-1, ci, co).swapaxes(-1, -2)
    w = w * (alpha / jnp.linalg.norm((w if norm == "spectrum" else kernel).ravel()))
    tall = w if co >= ci else w.swapaxes(-1, -2)
    side = tall.shape[-1]
    u, v = tall[:, :side], tall[:, side:]
    a = u - _adjoint(u) + jnp.matmul(_adjoint(v), v, precision=HIGHEST)
    eye = np.eye(side, dtype=kernel.dtype)
    m_inverse = _inverse(a + eye)
    top = jnp.matmul(m_inverse, eye - a, precision=HIGHEST)
    q = jnp.concatenate([top, -2 * jnp.matmul(v, m_inverse, precision=HIGHEST)], axis=1)
    return q if co >= ci else q.swapaxes(-1, -2)


def _adjoint(x: Array) -> Array:
    return jnp.conj(x).swapaxes(-1, -2)


@jax.custom_vjp
def _inverse(matrices: Array) -> Array:
    return inverse(matrices)


def _inverse_forward(matrices: Array) -> tuple[Array, Array]:
    m_inverse = inverse(matrices)
    return m_inverse, m_inverse


def _inverse_backward(m_inverse: Array, cotangent: Array) -> tuple[Array]:
    transposed = m_inverse.swapaxes(-1, -2)
    return (-jnp.matmul(jnp.matmul(transposed, cotangent, precision=HIGHEST), transposed, precision=HIGHEST),)


_inverse.defvjp(_inverse_forward, _inverse_backward)
