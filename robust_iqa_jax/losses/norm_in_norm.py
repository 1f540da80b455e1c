"""Norm-in-norm loss of LinearityIQA, and its best known case, the loss that linear correlation induces.
Source: Li, Jiang & Jiang 2020 (arXiv 2008.03889), lidq92/LinearityIQA IQAloss.py."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.losses.regression import check_pair


def norm_in_norm(
    predictions: Float[Array, " n"],
    targets: Float[Array, " n"],
    p: float = 1.0,
    q: float = 2.0,
    alpha: tuple[float, float] = (1.0, 0.0),
) -> Float[Array, ""]:
    """Distance between normalised predictions and normalised targets; blind to their offset and scale.

    a = yhat - mean(yhat), a~ = a / (1e-8 + |a|_q), b~ likewise from the targets;
    scale = 2^max(1, 1/q) N^max(0, 1/p - 1/q);  L0 = (|a~ - b~|_p / scale)^p;
    L1 the same with (rho a~ - b~), rho = cosine(a~, b~);  L = (alpha0 L0 + alpha1 L1) / (alpha0 + alpha1).

    Args:
      predictions: (n,) any scale.
      targets: (n,).
      p, q: exponents; the paper's "p1q2" are the defaults.
      alpha: weights of L0 and L1; (1, 0.1) is the published variant.

    Returns:
      scalar in [0, 1] for p >= 1; 0 where n = 1.

    Raises:
      ValueError: shapes differ or are not (n,).
    """
    check_pair("norm_in_norm", predictions, targets)
    n = predictions.shape[0]
    if n == 1:
        return jnp.zeros((), predictions.dtype)
    a, b = _normalised(predictions, q), _normalised(targets, q)
    scale = 2 ** max(1.0, 1 / q) * n ** max(0.0, 1 / p - 1 / q)
    floor = 1e-8 if p < 1 else 0.0

    def distance(x: Array) -> Array:
        return jnp.sum((jnp.abs(x - b) + floor) ** p) / scale**p

    loss = alpha[0] * distance(a)
    if alpha[1]:
        rho = jnp.sum(a * b) / jnp.maximum(jnp.sqrt(jnp.sum(a**2) * jnp.sum(b**2)), 1e-8)
        loss = loss + alpha[1] * distance(rho * a)
    return loss / sum(alpha)


def _normalised(y: Array, q: float) -> Array:
    centred = y - y.mean()
    # The tiny addend keeps the norm's gradient finite where all predictions are equal.
    norm = jnp.sum(jnp.abs(centred) ** q + 1e-30) ** (1 / q)
    return centred / (1e-8 + norm)


def linearity(
    predictions: Float[Array, " n"], targets: Float[Array, " n"], alpha: tuple[float, float] = (1.0, 0.0)
) -> Float[Array, ""]:
    """Linearity-induced loss: mean squared difference of z-scores, over 4; with rho = PLCC it is

    (alpha0 (1 - rho) / 2 + alpha1 (1 - rho^2) / 4) / (alpha0 + alpha1).

    LinearityIQA's code states it with z-scores (IQAloss.py); it is norm-in-norm with p = q = 2, since a z-score is
    sqrt(n) times the normalised value. Arguments and errors as there.
    """
    return norm_in_norm(predictions, targets, 2.0, 2.0, alpha)
