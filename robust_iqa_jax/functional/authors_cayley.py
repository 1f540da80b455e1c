"""The Cayley convolution as the paper's public code runs it on odd widths, for anchors against published numbers.
Source: arXiv 2506.04951, its code's irfft2 without a size (docs/sources.md 1.2)."""

from functools import partial

import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.functional.cayley import Norm, scaled_kernel, split
from robust_iqa_jax.functional.cayley_system import lag_matrices, product, spectral_solve
from robust_iqa_jax.functional.spectral import frequencies, kernel_spectrum
from robust_iqa_jax.kernels.cayley_solve.api import factor
from robust_iqa_jax.kernels.cayley_solve.planes import split as split_planes
from robust_iqa_jax.kernels.dft2.api import irfft2, rfft2


def authors_cayley_conv(
    x: Float[Array, "n h w i"],
    kernel: Float[Array, "kh kw i o"],
    alpha: Float[Array, ""],
    bias: Float[Array, " o"],
    norm: Norm = "spectrum",
) -> Float[Array, "n h w2 o"]:
    """`cayley_conv` with the published code's inverse transform, which is not told the width: odd W come back as W - 1.

    For anchors against published numbers only: where W is odd the result is no isometry (docs/sources.md 1.2).

    Returns:
      (n, H, 2 (W // 2), out).
    """
    if x.shape[0] == 0:
        return authors_cayley_conv(jnp.zeros((1, *x.shape[1:]), x.dtype), kernel, alpha, bias, norm)[:0]
    n, h, w, _ = x.shape
    square, rectangular, wide = split(scaled_kernel(kernel, alpha, (h, w), norm))
    solve = partial(spectral_solve, lag_matrices(square, rectangular), angles=frequencies((h, w)), elimination=factor)
    v = split_planes(kernel_spectrum(rectangular, (h, w)))  # (F, d, c)
    spectrum = rfft2(x).reshape(n, -1, x.shape[-1])
    if wide:
        z = solve(spectrum)[0]
        y = jnp.concatenate([2 * z - spectrum, -2 * product(v, z)], axis=-1)
    else:
        side = rectangular.shape[2]
        top, bottom = spectrum[..., :side], spectrum[..., side:]
        y = 2 * solve(top - product(v.mT, bottom), transpose=True)[0] - top
    return irfft2(y.reshape(n, h, w // 2 + 1, -1), (h, 2 * (w // 2))) + bias[None, None, None]
