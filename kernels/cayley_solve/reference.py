"""Inverse of the Cayley system by the platform's own LU: the plain form that the fast ones are tested against.
Not for jitted paths on CPU: two independent batched LAPACK calls in one program can deadlock in jax 0.10."""

import jax.numpy as jnp
from jaxtyping import Array, Complex, Float


def lu_inverse(matrices: Complex[Array, "f c c"] | Float[Array, "f c c"]) -> Array:
    """Inverse of each matrix (f, c, c) by partially pivoted LU."""
    return jnp.linalg.inv(matrices)
