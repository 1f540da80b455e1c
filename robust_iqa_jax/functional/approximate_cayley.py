"""Cheaper, inexact Cayley convolutions: band-limited, a few Newton-Schulz steps, bfloat16 products.
The 'faster spectral approximations' that arXiv 2506.04951 leaves open; errors and speed: benchmarks/solvers.py."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from robust_iqa_jax.functional.cayley import Norm, convolve, scaled_kernel, split
from robust_iqa_jax.functional.cayley_system import by_inverse, lag_matrices, spectral_solve
from robust_iqa_jax.functional.conv2d import circular_conv
from robust_iqa_jax.functional.elementwise import over
from robust_iqa_jax.functional.spectral import frequencies
from robust_iqa_jax.kernels.cayley_solve.api import factor
from robust_iqa_jax.kernels.cayley_solve.newton_schulz import cold_start, truncated_newton_schulz
from robust_iqa_jax.kernels.dft2.api import irfft2, rfft2


def truncated_cayley_conv(
    x: Float[Array, "n h w i"],
    kernel: Float[Array, "kh kw i o"],
    alpha: Float[Array, ""],
    bias: Float[Array, " o"],
    steps: int,
    norm: Norm = "taps",
) -> Float[Array, "n h w o"]:
    """cayley_conv by a fixed number of Newton-Schulz steps from a cold start; their error is the error of the
    isometry."""
    approximate = by_inverse(lambda m: truncated_newton_schulz(m, steps))
    return convolve(x, kernel, alpha, bias, norm, approximate, "auto")[0]


def bfloat16_cayley_conv(
    x: Float[Array, "n h w i"],
    kernel: Float[Array, "kh kw i o"],
    alpha: Float[Array, ""],
    bias: Float[Array, " o"],
    steps: int,
    norm: Norm = "taps",
) -> Float[Array, "n h w o"]:
    """truncated_cayley_conv whose iteration multiplies in bfloat16 and adds in float32."""
    approximate = by_inverse(lambda m: bfloat16_inverse(m, steps))
    return convolve(x, kernel, alpha, bias, norm, approximate, "auto")[0]


def bfloat16_inverse(matrices: Complex[Array, "f c c"], steps: int) -> Complex[Array, "f c c"]:
    """Newton-Schulz with products of bfloat16 factors, summed in float32; accurate to some 1e-2 relative."""
    eye = over(jnp.eye(matrices.shape[-1], dtype=matrices.dtype), matrices)

    def step(_: Array, x: Array) -> Array:
        return x + _bfloat16_matmul(x, eye - _bfloat16_matmul(matrices, x))

    return jax.lax.fori_loop(0, steps, step, cold_start(matrices))


def _bfloat16_matmul(x: Array, y: Array) -> Array:
    def real(a: Array, b: Array) -> Array:
        return jnp.matmul(a.astype(jnp.bfloat16), b.astype(jnp.bfloat16), preferred_element_type=jnp.float32)

    return jax.lax.complex(real(x.real, y.real) - real(x.imag, y.imag), real(x.real, y.imag) + real(x.imag, y.real))


def band_limited_cayley_conv(
    x: Float[Array, "n h w i"],
    kernel: Float[Array, "kh kw i o"],
    alpha: Float[Array, ""],
    bias: Float[Array, " o"],
    keep: float,
    norm: Norm = "taps",
) -> Float[Array, "n h w o"]:
    """The Cayley convolution below a cut-off frequency, [x; 0] above it: not the same map, but as isometric.

    Only systems of the kept frequencies are built and inverted, keep^2 of them.

    Args:
      x: (n, H, W, in).
      kernel: (kh, kw, in, out) with out >= in.
      alpha: scalar.
      bias: (out,).
      keep: cut-off as a share of half the sampling rate along each axis, in (0, 1].
      norm: see functional.cayley.kernel_norm.

    Returns:
      (n, H, W, out).

    Raises:
      ValueError: out < in, or a cut-off outside (0, 1].
    """
    if not 0 < keep <= 1:
        raise ValueError(f"band_limited_cayley_conv: keep must lie in (0, 1], got {keep}")
    n, h, w, ci = x.shape
    square, rectangular, wide = split(scaled_kernel(kernel, alpha, (h, w), norm))
    if not wide:
        raise ValueError(f"band_limited_cayley_conv: needs out >= in, got {ci} -> {kernel.shape[3]}")
    folded = np.abs((frequencies((h, w)) + np.pi) % (2 * np.pi) - np.pi)
    kept = np.flatnonzero((folded <= keep * np.pi + 1e-9).all(-1))
    spectrum = rfft2(x)
    low = spectrum.reshape(n, -1, ci)[:, kept]
    lags = lag_matrices(square, rectangular)
    z, _ = spectral_solve(lags, low, frequencies((h, w))[kept], factor)

    def in_space(values: Array) -> Array:
        full = jnp.zeros((n, h * (w // 2 + 1), ci), values.dtype).at[:, kept].set(values)
        return irfft2(full.reshape(spectrum.shape), (h, w))

    z_map, difference = in_space(z), in_space(z - low)
    return jnp.concatenate([2 * difference + x, -2 * circular_conv(z_map, rectangular)], axis=-1) + over(bias, x)
