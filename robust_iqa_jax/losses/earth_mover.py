"""Earth mover's distance between distributions of ratings over ordered grades, from their cumulative sums.
Sources: Talebi & Milanfar 2018 (arXiv 1709.05424, NIMA); Hou, Yu & Samaras 2016 (arXiv 1611.05916, squared)."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def earth_mover(predictions: Float[Array, "n k"], targets: Float[Array, "n k"], r: float = 2.0) -> Float[Array, ""]:
    """Mean over the photos of (1/k sum_j |P_j - T_j|^r)^(1/r), P and T the cumulative sums of the k shares.

    Args:
      predictions: (n, k) shares of each grade, each row >= 0 with sum 1 (a softmax).
      targets: (n, k) shares of the raters, alike.
      r: exponent; NIMA trains with 2 and reports 1.

    Returns:
      scalar in [0, 1). Its gradient is zero, not infinite, where a photo's distributions agree.

    Raises:
      ValueError: shapes differ or are not (n, k).
    """
    moved = _moved("earth_mover", predictions, targets)
    mean = jnp.mean(moved**r, axis=1)
    agree = mean == 0
    return jnp.mean(jnp.where(agree, 0, jnp.where(agree, 1, mean) ** (1 / r)))


def squared_earth_mover(predictions: Float[Array, "n k"], targets: Float[Array, "n k"]) -> Float[Array, ""]:
    """Mean over the photos of sum_j (P_j - T_j)^2: no root, smooth where distributions agree.

    Arguments and errors as in `earth_mover`; scalar in [0, k).
    """
    return jnp.mean(jnp.sum(_moved("squared_earth_mover", predictions, targets) ** 2, axis=1))


def _moved(loss: str, predictions: Array, targets: Array) -> Array:
    if predictions.ndim != 2 or predictions.shape != targets.shape:
        raise ValueError(
            f"{loss}: distributions of one shape (n, grades) expected, got {predictions.shape} and {targets.shape}"
        )
    return jnp.abs(jnp.cumsum(predictions, axis=1) - jnp.cumsum(targets, axis=1))
