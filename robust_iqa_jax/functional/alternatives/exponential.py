"""Skew orthogonal convolution: the exponential of a skew-adjoint circular convolution, by its Taylor series.
Source: Singla & Feizi 2021 (arXiv 2105.11417)."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.functional.conv2d import circular_conv


def exponential_conv(
    x: Float[Array, "n h w i"], kernel: Float[Array, "kh kw i o"], bias: Float[Array, " o"], terms: int = 12
) -> Float[Array, "n h w o"]:
    """exp(L) x with L = w - w^T on max(in, out) channels, zero channels added before or dropped after.

    Args:
      x: (n, H, W, in).
      kernel: (kh, kw, in, out), odd kh and kw; the series is good while |L| is small: |L|^(terms+1) / (terms+1)! is
        what it leaves out (at |L| = 2 and 12 terms 1e-6).
      bias: (out,).
      terms: of the series; the paper trains with 6 and evaluates with 12.

    Returns:
      (n, H, W, out): an isometry for out >= in, non-expansive otherwise.

    Raises:
      ValueError: a kernel of even side, which has no centre to be skew about.
    """
    if kernel.shape[0] % 2 == 0 or kernel.shape[1] % 2 == 0:
        raise ValueError(f"exponential_conv: needs odd kernel sides, got {kernel.shape[:2]}")
    ci, co = kernel.shape[2:]
    side = max(ci, co)
    square = jnp.pad(kernel, ((0, 0), (0, 0), (0, side - ci), (0, side - co)))
    skew = square - square[::-1, ::-1].swapaxes(2, 3)
    term = total = jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, side - ci)))
    for k in range(1, terms + 1):
        term = circular_conv(term, skew) / k
        total = total + term
    return total[..., :co] + bias
