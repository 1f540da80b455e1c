"""Inverse of many matrices by Newton-Schulz iteration, X <- X + X (I - M X): matrix products only, warm starts.
Source: Schulz 1933; global start of Ben-Israel & Cohen 1966, X0 = M^H / (|M|_1 |M|_inf)."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float, Int

from robust_iqa_jax.kernels.cayley_solve.block_inverse import block_inverse

WARM = 0.5
"""A start is used where its residual is below this, so that the residual squares itself from step to step."""


@partial(jax.tree_util.register_dataclass, data_fields=["inverse", "residual", "steps", "fell_back"], meta_fields=[])
@dataclass(frozen=True, eq=False)
class NewtonSchulz:
    """Result of the iteration.

    Attributes:
      inverse: (*f, c, c).
      residual: largest |I - M X|_F / sqrt(c) over the matrices, of the iteration's own result.
      steps: iterations done.
      fell_back: the residual stayed above the tolerance and `inverse` comes from the block inverse.
    """

    inverse: Complex[Array, "*f c c"] | Float[Array, "*f c c"]
    residual: Float[Array, ""]
    steps: Int[Array, ""]
    fell_back: Array


def newton_schulz(
    matrices: Complex[Array, "*f c c"] | Float[Array, "*f c c"],
    start: Complex[Array, "*f c c"] | Float[Array, "*f c c"] | None = None,
    tolerance: float = 1e-5,
    max_steps: int = 30,
) -> NewtonSchulz:
    """Iterate until the residual is below the tolerance; a result that misses it is replaced by the block inverse.

    Args:
      matrices: (*f, c, c) whose Hermitian part is at least the identity.
      start: approximate inverses, such as those of the previous training step; matrices for which they are too far
        off (residual above 0.5), all of them without it, start from M^H / (|M|_1 |M|_inf).
      tolerance: on the residual |I - M X|_F / sqrt(c) of every matrix. In float32 it cannot go below about
        6e-8 times the condition number; the iteration stops where it no longer gets smaller.
      max_steps: at most.

    Returns:
      inverse, residual, steps, and whether the block inverse had to step in.
    """
    cold = cold_start(matrices)
    if start is None:
        first = cold
    else:
        close = _residuals(_error(matrices, start)) < WARM
        first = jnp.where(close[..., None, None], start, cold)
    error = _error(matrices, first)

    def going_on(carry: tuple[Array, Array, Array, Array, Array]) -> Array:
        _, _, residual, before, steps = carry
        # the residual falls from step to step, if slowly at first, until rounding is reached; from a cold start it may
        # be too close to 1 for the first falls to show
        improving = (residual > WARM) | (residual < before)
        return (residual > tolerance) & improving & (steps < max_steps)

    def step(carry: tuple[Array, Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array, Array]:
        x, error, residual, _, steps = carry
        x = x + _matmul(x, error)
        error = _error(matrices, x)
        return x, error, _residuals(error).max(), residual, steps + 1

    residual = _residuals(error).max()
    start_values = (first, error, residual, jnp.full_like(residual, jnp.inf), jnp.int32(0))
    x, _, residual, _, steps = jax.lax.while_loop(going_on, step, start_values)
    fell_back = ~(residual <= tolerance)
    inverse = jax.lax.cond(fell_back, lambda: block_inverse(matrices), lambda: x)
    return NewtonSchulz(inverse, residual, steps, fell_back)


def newton_schulz_inverse(matrices: Complex[Array, "*f c c"] | Float[Array, "*f c c"]) -> Array:
    """Inverse of each matrix from a cold start, with the fallback; same shapes and dtype as the argument."""
    return newton_schulz(matrices).inverse


def truncated_newton_schulz(matrices: Complex[Array, "*f c c"] | Float[Array, "*f c c"], steps: int) -> Array:
    """Approximate inverse after a fixed number of steps from a cold start, unchecked: cheaper than exact where few do.

    Args:
      matrices: (*f, c, c).
      steps: number of iterations, two products each.

    Returns:
      (*f, c, c).
    """
    return jax.lax.fori_loop(0, steps, lambda _, x: x + _matmul(x, _error(matrices, x)), cold_start(matrices))


def cold_start(matrices: Complex[Array, "*f c c"] | Float[Array, "*f c c"]) -> Array:
    """X0 = M^H / (|M|_1 |M|_inf), from which the iteration converges for every invertible matrix."""
    size = jnp.abs(matrices)
    scale = size.sum(-2).max(-1) * size.sum(-1).max(-1)
    return matrices.conj().swapaxes(-1, -2) / scale[..., None, None].astype(matrices.dtype)


def _matmul(x: Array, y: Array) -> Array:
    return jnp.matmul(x, y, precision=jax.lax.Precision.HIGHEST)


def _error(matrices: Array, x: Array) -> Array:
    found = _matmul(matrices, x)
    return jnp.broadcast_to(jnp.eye(matrices.shape[-1], dtype=matrices.dtype), found.shape) - found


def _residuals(error: Array) -> Array:
    squares = (error * error.conj()).real.sum((-2, -1))
    return jnp.sqrt(squares / error.shape[-1])
