"""Convolutions that never grow the norm and are orthogonal where their kernel's Gram matrices are diagonal (AOL).
Source: Prach & Lampert 2022 (arXiv 2208.03160), theorem 1."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.functional.spectral import lag_gram


def gram_bound(kernel: Float[Array, "kh kw c d"], weights: Float[Array, " c"] | None = None) -> Float[Array, " c"]:
    """Diagonal T with V(f)^H V(f) <= T at every frequency, of maps of every size: t_i = sum_j |G_d|_ij q_j / q_i,
    summed over the lags d of the lag matrices G_d, the taps (c, d) those of V^T.

    Args:
      kernel: (kh, kw, c, d).
      weights: q > 0; ones where there are none.

    Returns:
      (c,), >= 0.
    """
    gram = jnp.abs(lag_gram(kernel))
    total = gram.sum(0) + gram[1:].sum(0).T  # G_-d is the transpose of G_d, lag 0 has no partner
    if weights is None:
        return total.sum(1)
    return (total * weights[None]).sum(1) / weights


def almost_orthogonal_kernel(kernel: Float[Array, "kh kw i o"]) -> Float[Array, "kh kw i o"]:
    """The kernel with each input channel (each output channel where there are fewer) divided by t^(1/2), see
    `gram_bound`: its circular and zero-padded convolutions have norms of at most 1. Zero channels stay zero."""
    if kernel.shape[2] > kernel.shape[3]:
        return almost_orthogonal_kernel(kernel.swapaxes(2, 3)).swapaxes(2, 3)
    bound = gram_bound(kernel)
    scale = jnp.where(bound > 0, 1 / jnp.sqrt(jnp.where(bound > 0, bound, 1)), 0)
    return kernel * scale[None, None, :, None]
