"""Inverse of many well-posed matrices with matrix products alone: recursive 2x2 blocks over a Gauss-Jordan base.
Valid without pivoting because the Hermitian part of the Cayley system is at least the identity (ARCHITECTURE.md)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from robust_iqa_jax.kernels.cayley_solve.planes import Planes, join, product, split, stack

BASE_SIZE = 25
"""Up to this side the Gauss-Jordan elimination is faster than another level of blocks (measured: 13 is 5 % slower)."""


def block_inverse(matrices: Complex[Array, "*f c c"] | Float[Array, "*f c c"]) -> Array:
    """Inverse of each matrix whose Hermitian part is at least a positive multiple of the identity.

    Args:
      matrices: (*f, c, c), real or complex.

    Returns:
      (*f, c, c), same dtype.
    """
    if not jnp.iscomplexobj(matrices):
        return inverse_of_planes(Planes(matrices, jnp.zeros_like(matrices))).real
    return join(inverse_of_planes(split(matrices)))


def inverse_of_planes(matrices: Planes) -> Planes:
    """`block_inverse` on planes.

    With M = [[a, b], [c, d]] and S = d - c a^-1 b, the inverse is
    [[a^-1 + a^-1 b S^-1 c a^-1, -a^-1 b S^-1], [-S^-1 c a^-1, S^-1]]. Leading blocks and Schur complements of such a
    matrix inherit the bound on the Hermitian part, so no step divides by a small pivot.
    """
    side = matrices.real.shape[-1]
    if side <= BASE_SIZE:
        return split(_gauss_jordan(join(matrices)))
    a, b, c, d = quarters(matrices)
    a_inv = inverse_of_planes(a)
    a_inv_b = product(a_inv, b)
    s_inv = inverse_of_planes(d - product(c, a_inv_b))
    s_inv_c_a_inv = product(s_inv, product(c, a_inv))
    top = a_inv + product(a_inv_b, s_inv_c_a_inv)
    return stack([[top, -product(a_inv_b, s_inv)], [-s_inv_c_a_inv, s_inv]])


def quarters(matrices: Planes) -> tuple[Planes, Planes, Planes, Planes]:
    """The blocks a, b, c, d of [[a, b], [c, d]], a the larger one where the side is odd."""
    half = -(-matrices.real.shape[-1] // 2)
    first, second = slice(0, half), slice(half, None)
    return (
        matrices.part(first, first),
        matrices.part(first, second),
        matrices.part(second, first),
        matrices.part(second, second),
    )


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
