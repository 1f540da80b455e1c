"""Inverse of many well-posed matrices: recursive 2x2 blocks by matrix products over a pivoted Gauss-Jordan base.
Blocks need no pivoting because the Hermitian part of the Cayley system is at least the identity (ARCHITECTURE.md)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from robust_iqa_jax.kernels.cayley_solve.planes import Planes, join, product, split, stack

BASE_SIZE = 26
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
    matrix inherit the bound on the Hermitian part, so no step divides by a small pivot. How much rounding a step adds
    grows with |M|, see `quarters` and functional.cayley.largest_kernel.
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
    """The blocks a, b, c, d of [[a, b], [c, d]], a of even side and the larger one where the halves are not even.

    At frequencies where M is real, A is nearly skew, and a skew matrix of odd side is singular: an odd block would be
    no larger than the identity in some direction, and dividing by it would square the entries of what is left.
    """
    half = -(-matrices.real.shape[-1] // 4) * 2
    first, second = slice(0, half), slice(half, None)
    return (
        matrices.part(first, first),
        matrices.part(first, second),
        matrices.part(second, first),
        matrices.part(second, second),
    )


def _gauss_jordan(matrices: Array) -> Array:
    """In-place elimination with row pivoting: column j of the running matrix is replaced by column j of the inverse of
    the matrix with its rows exchanged; the exchanges are undone on the columns at the end."""
    side = matrices.shape[-1]
    rows = jnp.arange(side)

    def eliminate(j: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        m, order = carry
        column = jax.lax.dynamic_index_in_dim(m, j, axis=-1, keepdims=False)
        sizes = jnp.where(_rows_like(rows >= j, column), column.real**2 + column.imag**2, -1)
        largest = jnp.argmax(sizes, axis=-1, keepdims=True)
        at_largest = _rows_like(rows, column) == largest
        own = jax.lax.dynamic_index_in_dim(m, j, axis=-2, keepdims=False)
        row = jnp.take_along_axis(m, largest[..., None], axis=-2)[..., 0, :]
        pivot = jax.lax.dynamic_index_in_dim(row, j, axis=-1, keepdims=True)
        here = _rows_like(rows == j, column)
        scaled_row = jnp.where(here, 1.0, row) / pivot
        m = jnp.where(at_largest[..., None], own[..., None, :], m)
        factor = jnp.where(at_largest, jax.lax.dynamic_index_in_dim(own, j, axis=-1, keepdims=True), column)
        factor = jnp.where(here, 0.0, factor)
        cleared = jnp.where(here[..., None, :], 0.0, m) - factor[..., :, None] * scaled_row[..., None, :]
        moved = jax.lax.dynamic_index_in_dim(order, j, axis=-1, keepdims=True)
        from_largest = jnp.take_along_axis(order, largest, axis=-1)
        order = jnp.where(here, from_largest, jnp.where(at_largest, moved, order))
        return jnp.where(here[..., :, None], scaled_row[..., None, :], cleared), order

    start = jnp.broadcast_to(_rows_like(rows, matrices[..., 0]), matrices.shape[:-1])
    inverse, order = jax.lax.fori_loop(0, side, eliminate, (matrices, start))
    return jnp.take_along_axis(inverse, jnp.argsort(order, axis=-1)[..., None, :], axis=-1)


def _rows_like(rows: Array, columns: Array) -> Array:
    return rows.reshape((1,) * (columns.ndim - 1) + rows.shape)
