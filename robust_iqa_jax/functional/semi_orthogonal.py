"""Matrices with orthonormal rows or columns from free ones, by the real Cayley transform: exact and without iterations.
Sources: arXiv 2104.07167 (the rectangular transform); the last correction is a step of Björck & Bowie 1971."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.functional.elementwise import over
from robust_iqa_jax.functional.spectral import HIGHEST, safe_root
from robust_iqa_jax.kernels.cayley_solve.api import inverse

LARGEST = {32: 1e3, 64: 1e6}
"""Norm of a free matrix, by the bits of its type, beyond which its direction alone counts: the system is held with a
rounding of its square, which the correction below squares once more."""


def semi_orthogonal(free: Float[Array, "*b i o"]) -> Float[Array, "*b i o"]:
    """Orthonormal rows for out >= in, so that x -> x Q is an isometry; orthonormal columns otherwise.

    With free = [A, B], A square, M = I + A^T - A + B B^T: Q = [2 M^-T - I, -2 M^-T B], the transpose of
    functional.cayley's construction at a single frequency. Every Q is reached but those whose square part has the
    eigenvalue -1 after every rotation. Differentiable in both modes.

    Args:
      free: (..., in, out), any values.

    Returns:
      (..., in, out), to a rounding or two of its type.
    """
    side, features = free.shape[-2:]
    if side > features:
        return semi_orthogonal(free.mT).mT
    length = safe_root(jnp.sum(free**2, axis=(-2, -1), keepdims=True))
    largest = LARGEST[jnp.finfo(free.dtype).bits]
    free = free * jnp.where(length > largest, largest / jnp.where(length > largest, length, 1), 1)
    square, rest = free[..., :side], free[..., side:]
    eye = over(jnp.eye(side, dtype=free.dtype), free)
    system = eye + square.mT - square + _matmul(rest, rest.mT)
    transposed = _inverse(system).mT
    q = jnp.concatenate([2 * transposed - eye, -2 * _matmul(transposed, rest)], axis=-1)
    return 1.5 * q - 0.5 * _matmul(_matmul(q, q.mT), q)


@jax.custom_jvp
def _inverse(matrices: Array) -> Array:
    return inverse(matrices)


@_inverse.defjvp
def _inverse_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    result = _inverse(*primals)
    return result, -_matmul(_matmul(result, tangents[0]), result)


def _matmul(x: Array, y: Array) -> Array:
    return jnp.matmul(x, y, precision=HIGHEST)
