"""Orthogonal convolutions with an explicit small kernel: a semi-orthogonal matrix and a chain of projector pairs.
Sources: Li et al. 2019 (BCOP, arXiv 1911.00937); AOC (arXiv 2501.07930) composes kernels, here the chain is applied."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.functional.elementwise import over
from robust_iqa_jax.functional.semi_orthogonal import semi_orthogonal
from robust_iqa_jax.functional.spectral import HIGHEST


def steps(kernel_size: tuple[int, int]) -> list[tuple[int, int]]:
    """(axis, offset) of the second tap of each projector pair: kh - 1 along the rows, then kw - 1 along the columns.

    Offsets of -1 and 1 take turns, so that the kernel's centre tap is (k - 1) // 2, and that two pairs of one projector
    that follow each other are the identity: (1 - P + P S)(1 - P + P S^-1) = 1.
    """
    return [(axis, 1 if (i + k) % 2 == 0 else -1) for axis, k in enumerate(kernel_size) for i in range(k - 1)]


def block_convolution_conv(
    x: Float[Array, "n h w i"],
    matrix: Float[Array, "i o"],
    bases: Float[Array, "p c r"],
    kernel_size: tuple[int, int],
) -> Float[Array, "n h w o"]:
    """Circular convolution with `explicit_kernel`, without forming it.

    Step by step y = x - P x + (P x moved by a pixel), P = E E^T: (kh + kw - 2) c^2 products a pixel where the kernel
    takes kh kw c^2, and nothing to compose, whose gradient costs more than the convolution's.

    Args:
      x: (n, H, W, in).
      matrix: (in, out), free.
      bases: (kh + kw - 2, c, r), free, c = min(in, out): columns that span the ranges of the projectors.
      kernel_size: (kh, kw).

    Returns:
      (n, H, W, out): an isometry of x for out >= in, a co-isometry otherwise.
    """
    matrix = semi_orthogonal(matrix)
    if matrix.shape[0] > matrix.shape[1]:
        return _chain(_matmul(x, matrix), bases, kernel_size)
    return _matmul(_chain(x, bases, kernel_size), matrix)


def explicit_kernel(
    matrix: Float[Array, "i o"], bases: Float[Array, "p c r"], kernel_size: tuple[int, int]
) -> Float[Array, "kh kw i o"]:
    """The kernel whose ordinary circular convolution `block_convolution_conv` is; see there for the arguments.

    A semi-orthogonal matrix block-convolved with [1 - P, P] for every projector (arXiv 1911.00937, algorithm 1).
    """
    square, matrix = composed_chain(bases, kernel_size), semi_orthogonal(matrix)
    narrow_first = matrix.shape[0] > matrix.shape[1]
    return _matmul(over(matrix, square), square) if narrow_first else _matmul(square, over(matrix, square))


def ordinary_kernels(
    matrix: Float[Array, "i o"], bases: Float[Array, "p c r"], kernel_size: tuple[int, int]
) -> tuple[Float[Array, "kh kw i2 o2"], ...]:
    """Kernels of the one or two ordinary circular convolutions, one after the other, that cost the least arithmetic:
    `explicit_kernel`, or the square part and a 1 x 1 kernel where in and out differ much."""
    (ci, co), taps = matrix.shape, kernel_size[0] * kernel_size[1]
    side = min(ci, co)
    if taps * ci * co <= taps * side**2 + ci * co:
        return (explicit_kernel(matrix, bases, kernel_size),)
    square, pointwise = composed_chain(bases, kernel_size), semi_orthogonal(matrix)[None, None]
    return (pointwise, square) if ci > co else (square, pointwise)


def composed_chain(bases: Float[Array, "p c r"], kernel_size: tuple[int, int]) -> Float[Array, "kh kw c c"]:
    """Kernel of the square part: projector pairs alone."""
    taps = jnp.eye(bases.shape[1], dtype=bases.dtype)[None, None]
    for basis, (axis, offset) in zip(semi_orthogonal(bases), steps(kernel_size), strict=True):
        projected = _projected(taps, basis)
        here, there = (int(offset < 0), 0), (int(offset > 0), 0)
        pads = [[(0, 0)] * 4, [(0, 0)] * 4]
        for pad, (before, _) in zip(pads, (here, there), strict=True):
            pad[axis] = (before, 1 - before)
        taps = jnp.pad(taps - projected, pads[0]) + jnp.pad(projected, pads[1])
    return taps


def _chain(x: Array, bases: Array, kernel_size: tuple[int, int]) -> Array:
    for basis, (axis, offset) in zip(semi_orthogonal(bases), steps(kernel_size), strict=True):
        projected = _projected(x, basis)
        x = x - projected + jnp.roll(projected, -offset, axis=1 + axis)
    return x


def _projected(x: Array, basis: Array) -> Array:
    return _matmul(_matmul(x, over(basis, x)), over(basis.T, x))


def _matmul(x: Array, y: Array) -> Array:
    return jnp.matmul(x, y, precision=HIGHEST)
