"""L2 pooling: the root of a smooth local mean of squares, without aliasing and, here, without a stride.
Sources: arXiv 1511.06394, isalirezag/TReS models.py (window and padding)."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def l2_pool(x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
    """sqrt(g * x^2 + 1e-12) with the Hann window g = outer(v, v), v = (1/4, 1/2, 1/4), and zeros beyond the border.

    Args:
      x: (n, h, w, c).

    Returns:
      (n, h, w, c), at least 1e-6.
    """
    rows = jnp.pad(x**2, ((0, 0), (1, 1), (0, 0), (0, 0)))
    rows = 0.25 * rows[:, :-2] + 0.5 * rows[:, 1:-1] + 0.25 * rows[:, 2:]
    both = jnp.pad(rows, ((0, 0), (0, 0), (1, 1), (0, 0)))
    both = 0.25 * both[:, :, :-2] + 0.5 * both[:, :, 1:-1] + 0.25 * both[:, :, 2:]
    return jnp.sqrt(both + 1e-12)
