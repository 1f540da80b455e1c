"""Orthogonal convolution with an explicit 3 x 3 kernel, built from projectors by block convolution (BCOP).
Sources: Li et al. 2019 (arXiv 1911.00937); AOC (arXiv 2501.07930) gives the same construction for stride 1."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.functional.alternatives.bjorck import orthogonalise
from robust_iqa_jax.functional.conv2d import circular_conv
from robust_iqa_jax.functional.spectral import HIGHEST

PROJECTORS = 4
"""One for each direction of each of the two steps from 1 x 1 to 3 x 3."""


class BlockConvolution(NamedTuple):
    """Free parameters.

    Attributes:
      matrix: (out, in).
      bases: (4, c, c // 2) with c = min(in, out): columns that span the ranges of the projectors.
    """

    matrix: Float[Array, "o i"]
    bases: Float[Array, "p c r"]


def init(key: Array, channels_in: int, channels_out: int) -> BlockConvolution:
    """Gaussian parameters."""
    first, second = jax.random.split(key)
    side = min(channels_in, channels_out)
    bases = jax.random.normal(second, (PROJECTORS, side, max(1, side // 2)))
    return BlockConvolution(jax.random.normal(first, (channels_out, channels_in)), bases)


def explicit_kernel(parameters: BlockConvolution, steps: int = 25) -> Float[Array, "3 3 i o"]:
    """The orthogonal 3 x 3 kernel: a semi-orthogonal matrix block-convolved with [P, 1 - P] twice in each direction.

    Args:
      parameters: see BlockConvolution.
      steps: of the Björck orthogonalisation of matrix and bases.

    Returns:
      (3, 3, in, out).
    """
    matrix, bases = orthogonalise(parameters.matrix, steps), orthogonalise(parameters.bases, steps)
    projectors = jnp.matmul(bases, bases.swapaxes(-1, -2), precision=HIGHEST)
    side = projectors.shape[-1]
    taps = jnp.eye(side, dtype=matrix.dtype)[None, None]  # (rows, columns, c, c)
    for i in range(2):
        for axis in range(2):
            p = projectors[2 * i + axis]
            pair = (p, jnp.eye(side, dtype=p.dtype) - p)
            before, after = (
                [(0, 1) if a == axis else (0, 0) for a in range(4)],
                [(1, 0) if a == axis else (0, 0) for a in range(4)],
            )
            taps = jnp.pad(jnp.matmul(taps, pair[0], precision=HIGHEST), before) + jnp.pad(
                jnp.matmul(taps, pair[1], precision=HIGHEST), after
            )
    if matrix.shape[0] >= matrix.shape[1]:  # widen after the square part, or narrow before it
        return jnp.einsum("rcij,oj->rcio", taps, matrix, precision=HIGHEST)
    return jnp.einsum("ji,rcjo->rcio", matrix, taps, precision=HIGHEST)


def block_convolution_conv(
    x: Float[Array, "n h w i"], parameters: BlockConvolution, bias: Float[Array, " o"], steps: int = 25
) -> Float[Array, "n h w o"]:
    """Circular convolution of x (n, H, W, in) with the explicit kernel."""
    return circular_conv(x, explicit_kernel(parameters, steps)) + bias
