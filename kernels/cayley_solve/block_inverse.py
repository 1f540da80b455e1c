"""Inverse of many well-posed matrices with matrix products alone: recursive 2x2 blocks over a Gauss-Jordan base.
Valid without pivoting because the Hermitian part of the Cayley system is at least the identity (ARCHITECTURE.md)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

BASE_SIZE = 16
"""Below this side the unrolled Gauss-Jordan elimination is faster than another level of blocks."""


def block_inverse(matrices: Complex[Array, "*f c c"] | Float[Array, "*f c c"]) -> Array:
    """Inverse of each matrix whose Hermitian part is at least a positive multiple of the identity.

    With M = [[a, b], [c, d]] and S = d - c a^-1 b, the inverse is
    [[a^-1 + a^-1 b S^-1 c a^-1, -a^-1 b S^-1], [-S^-1 c a^-1, S^-1]]. Leading blocks and Schur complements of such a
    matrix inherit the bound on the Hermitian part, so no step divides by a small pivot.

    Args:
      matrices: (*f, c, c), real or complex.

    Returns:
      (*f, c, c), same dtype.
    """
    side = matrices.shape[-1]
    if side <= BASE_SIZE:
        return _gauss_jordan(matrices)
    half = -(-side // 2)
    a, b = matrices[..., :half, :half], matrices[..., :half, half:]
    c, d = matrices[..., half:, :half], matrices[..., half:, half:]
    a_inv = block_inverse(a)
    a_inv_b = _matmul(a_inv, b)
    s_inv = block_inverse(d - _matmul(c, a_inv_b))
    s_inv_c_a_inv = _matmul(s_inv, _matmul(c, a_inv))
    top = jnp.concatenate([a_inv + _matmul(a_inv_b, s_inv_c_a_inv), -_matmul(a_inv_b, s_inv)], axis=-1)
    bottom = jnp.concatenate([-s_inv_c_a_inv, s_inv], axis=-1)
    return jnp.concatenate([top, bottom], axis=-2)


def _matmul(x: Array, y: Array) -> Array:
    # 'highest': TPU and TF32 defaults would lose the orthogonality that the whole construction is for.
    return jnp.matmul(x, y, precision=jax.lax.Precision.HIGHEST)


def _gauss_jordan(matrices: Array) -> Array:
    """In-place elimination: column j of the running matrix is replaced by column j of the inverse."""

    def eliminate(j: Array, m: Array) -> Array:
        row = jax.lax.dynamic_index_in_dim(m, j, axis=-2, keepdims=False)
        column = jax.lax.dynamic_index_in_dim(m, j, axis=-1, keepdims=False)
        pivot = jax.lax.dynamic_index_in_dim(row, j, axis=-1, keepdims=True)
        here = jnp.arange(m.shape[-1]) == j
        scaled_row = jnp.where(here, 1.0, row) / pivot
        factor = jnp.where(here, 0.0, column)
        cleared = jnp.where(here, 0.0, m) - factor[..., :, None] * scaled_row[..., None, :]
        return jnp.where(here[:, None], scaled_row[..., None, :], cleared)

    return jax.lax.fori_loop(0, matrices.shape[-1], eliminate, matrices)
