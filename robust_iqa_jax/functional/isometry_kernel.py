"""Inverse Cayley transform: the free parameters of a Cayley convolution that multiplies every pixel by an isometry.
Where a RobustBlock's projection start comes from; derivation in ARCHITECTURE.md."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def isometry_kernel(matrix: Float[Array, "o i"], kernel_size: tuple[int, int]) -> Float[Array, "kh kw i o"]:
    """Taps whose Cayley convolution (alpha = |taps|) is the pixel-wise product with a given isometry.

    The inverse Cayley transform of E = [E1; E2] with E1 symmetric positive semi-definite is U = any symmetric matrix
    and V = -E2 (E1 + I)^-1. U is the identity here, so that the taps are not all zero for a square E.

    Args:
      matrix: (out, in) with orthonormal columns, its first `in` rows symmetric positive semi-definite.
      kernel_size: (kh, kw); everything lies on the centre tap.

    Returns:
      (kh, kw, in, out).
    """
    co, ci = matrix.shape
    eye = jnp.eye(ci, dtype=matrix.dtype)
    rectangular = -jnp.linalg.solve(matrix[:ci] + eye, matrix[ci:].T)
    taps = jnp.zeros((*kernel_size, ci, co), matrix.dtype)
    return taps.at[(kernel_size[0] - 1) // 2, (kernel_size[1] - 1) // 2].set(
        jnp.concatenate([eye, rectangular], axis=1)
    )
