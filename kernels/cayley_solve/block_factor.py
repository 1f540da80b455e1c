"""Block elimination of many well-posed matrices without pivoting: a third of the inverse's arithmetic.
A factor is as large as the matrix and solves with it or its transpose at the price of one product."""

from typing import NamedTuple, TypeAlias

from robust_iqa_jax.kernels.cayley_solve.block_inverse import inverse_of_planes, quarters
from robust_iqa_jax.kernels.cayley_solve.planes import (
    Planes,
    product,
    product_with_few,
    stack,
    transposed_product_with_few,
)

LEAF = 50
"""Largest side of the diagonal blocks that are inverted; smaller ones save arithmetic and lose it in small products."""


class Blocks(NamedTuple):
    """Of M = [[a, b], [c, d]]: the factor of a, a^-1 b, c, and the factor of S = d - c a^-1 b.

    Kept apart: putting them into one array and taking them out again costs a CPU as much as the elimination.
    """

    first: "Factor"
    right: Planes
    lower: Planes
    schur: "Factor"


Factor: TypeAlias = Planes | Blocks
"""An inverse, or blocks; a pytree."""


def block_factor(matrices: Planes, leaf: int = LEAF) -> Factor:
    """Factor of each matrix whose Hermitian part is at least a positive multiple of the identity.

    Stable without pivoting for the same reason as `block_inverse`.

    Args:
      matrices: (*f, c, c).
      leaf: side up to which a block is inverted.

    Returns:
      what `solve` and `solve_transposed` take; of matrices up to the side of a leaf the inverse itself.
    """
    if matrices.real.shape[-1] <= leaf:
        return inverse_of_planes(matrices)
    a, b, c, d = quarters(matrices)
    first = block_factor(a, leaf)
    right = _solve(first, b, few=False)
    return Blocks(first, right, c, block_factor(d - product(c, right), leaf))


def solve(factor: Factor, columns: Planes) -> Planes:
    """M^-1 times a few columns, (*f, c, n)."""
    return _solve(factor, columns, few=True)


def solve_transposed(factor: Factor, columns: Planes) -> Planes:
    """M^-T (plain transpose) times a few columns, (*f, c, n).

    M^T = [[a^T, c^T], [b^T, d^T]]: x2 = S^-T (y2 - (a^-1 b)^T y1), x1 = a^-T (y1 - c^T x2).
    """
    if isinstance(factor, Planes):
        return transposed_product_with_few(factor, columns)
    half = factor.right.real.shape[-2]
    y1, y2 = columns.part(slice(0, half)), columns.part(slice(half, None))
    x2 = solve_transposed(factor.schur, y2 - transposed_product_with_few(factor.right, y1))
    x1 = solve_transposed(factor.first, y1 - transposed_product_with_few(factor.lower, x2))
    return stack([[x1], [x2]])


def _solve(factor: Factor, columns: Planes, few: bool) -> Planes:
    """x2 = S^-1 (y2 - c a^-1 y1), x1 = a^-1 y1 - a^-1 b x2."""
    times = product_with_few if few else product
    if isinstance(factor, Planes):
        return times(factor, columns)
    half = factor.right.real.shape[-2]
    x1 = _solve(factor.first, columns.part(slice(0, half)), few)
    x2 = _solve(factor.schur, columns.part(slice(half, None)) - times(factor.lower, x1), few)
    return stack([[x1 - times(factor.right, x2)], [x2]])
