"""Björck orthogonalisation: the polar factor of a matrix by W <- W (3 - W^H W) / 2, here of a spectrum or a kernel.
Source: Björck & Bowie 1971; on spectra of convolutions as in arXiv 2104.07167, section 2."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from robust_iqa_jax.functional.spectral import HIGHEST, kernel_spectrum


def orthogonalise(
    matrices: Complex[Array, "*f o i"] | Float[Array, "*f o i"], steps: int = 25
) -> Complex[Array, "*f o i"] | Float[Array, "*f o i"]:
    """Nearest matrices with orthonormal columns (rows where out < in), after a fixed number of steps.

    Args:
      matrices: (*f, out, in) of full rank; small singular values grow by 3/2 a step, so they set how many it takes.
      steps: iterations.

    Returns:
      same shape and dtype.
    """
    wide = matrices.shape[-1] > matrices.shape[-2]
    tall = matrices.swapaxes(-1, -2) if wide else matrices
    size = jnp.abs(tall)
    # |W|_2^2 <= |W|_1 |W|_inf puts every singular value into (0, 1], where the iteration converges
    scale = jnp.sqrt(size.sum(-2).max(-1) * size.sum(-1).max(-1))[..., None, None]

    def step(_: Array, w: Array) -> Array:
        gram = jnp.matmul(jnp.conj(w).swapaxes(-1, -2), w, precision=HIGHEST)
        return 1.5 * w - 0.5 * jnp.matmul(w, gram, precision=HIGHEST)

    result = jax.lax.fori_loop(0, steps, step, tall / scale.astype(tall.dtype))
    return result.swapaxes(-1, -2) if wide else result


def bjorck_conv(
    x: Float[Array, "n h w i"], kernel: Float[Array, "kh kw i o"], bias: Float[Array, " o"], steps: int = 25
) -> Float[Array, "n h w o"]:
    """Convolution whose spectrum is the polar factor of the kernel's: the nearest orthogonal one, Q(f) formed.

    Args:
      x: (n, H, W, in).
      kernel: (kh, kw, in, out).
      bias: (out,).
      steps: see `orthogonalise`.

    Returns:
      (n, H, W, out).
    """
    n, h, w, _ = x.shape
    q = orthogonalise(kernel_spectrum(kernel, (h, w)), steps)
    spectrum = jnp.fft.rfft2(x, axes=(1, 2)).reshape(n, -1, x.shape[-1])
    y = jnp.einsum("foi,nfi->nfo", q, spectrum, precision=HIGHEST).reshape(n, h, w // 2 + 1, -1)
    return jnp.fft.irfft2(y, s=(h, w), axes=(1, 2)) + bias
