"""Inverse of matrices of one to three rows by cofactors: elementwise arithmetic over all frequencies at once.
The case of a block before the first layer (position 1 of arXiv 2506.04951: three channels, 118,584 frequencies)."""

import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

LARGEST = 3


def closed_form_inverse(matrices: Complex[Array, "*f c c"] | Float[Array, "*f c c"]) -> Array:
    """Inverse of each matrix as adjugate / determinant; no step divides by anything but the determinant.

    Args:
      matrices: (*f, c, c) with c <= 3, real or complex.

    Returns:
      (*f, c, c), same dtype.

    Raises:
      ValueError: c > 3.
    """
    side = matrices.shape[-1]
    if side > LARGEST:
        raise ValueError(f"closed_form_inverse: at most {LARGEST} x {LARGEST} matrices, got {side} x {side}")
    if side == 1:
        return 1 / matrices
    m = [[matrices[..., i, j] for j in range(side)] for i in range(side)]
    if side == 2:
        adjugate = [[m[1][1], -m[0][1]], [-m[1][0], m[0][0]]]
    else:
        # row i of the adjugate is the cross product of the columns i + 1 and i + 2
        adjugate = [
            [
                m[(j + 1) % 3][(i + 1) % 3] * m[(j + 2) % 3][(i + 2) % 3]
                - m[(j + 1) % 3][(i + 2) % 3] * m[(j + 2) % 3][(i + 1) % 3]
                for j in range(3)
            ]
            for i in range(3)
        ]
    determinant = sum(m[0][k] * adjugate[k][0] for k in range(side))
    return jnp.stack([jnp.stack([entry / determinant for entry in row], -1) for row in adjugate], -2)
