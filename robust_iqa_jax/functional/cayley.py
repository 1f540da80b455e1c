"""Orthogonal circular convolution by the Cayley transform of its spectrum, exact and factored: Q is never formed.
The RobustBlock's convolution (arXiv 2506.04951, after arXiv 2104.07167); derivation in ARCHITECTURE.md."""

from dataclasses import dataclass
from functools import partial
from typing import Literal, cast, get_args

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.typing import DTypeLike
from jaxtyping import Array, Complex, Float

from robust_iqa_jax.functional.cayley_system import (
    Elimination,
    by_inverse,
    inverse_systems,
    lag_matrices,
    product,
    spectral_solve,
)
from robust_iqa_jax.functional.conv2d import circular_conv
from robust_iqa_jax.functional.elementwise import over
from robust_iqa_jax.functional.spectral import frequencies, safe_root, spectrum_norm
from robust_iqa_jax.kernels.cayley_solve.api import Solver, factor, inverse
from robust_iqa_jax.kernels.cayley_solve.block_factor import Factor
from robust_iqa_jax.kernels.cayley_solve.newton_schulz import newton_schulz
from robust_iqa_jax.kernels.cayley_solve.planes import Planes, join
from robust_iqa_jax.kernels.dft2.api import Transform, irfft2, rfft2

Norm = Literal["taps", "spectrum"]

LARGEST_KERNEL = {32: 1e6, 64: 1e10}
LARGEST_ODD_KERNEL = {32: 1e3, 64: 1e7}
"""Largest |W~| by the bits of its type, see `largest_kernel`. Training starts at 20 or less, and Adam moves alpha by at
most its rate a step."""


@partial(jax.tree_util.register_dataclass, data_fields=["inverse", "taps", "bias"], meta_fields=["size", "wide"])
@dataclass(frozen=True, eq=False)
class CayleyOperator:
    """A Cayley convolution prepared for one map size: M(f)^-1 and what else the apply needs.

    Attributes:
      inverse: M(f)^-1 for out >= in, M(f)^-T otherwise: (F, c, c) in two planes, c = min(in, out), F = H * (W//2 + 1).
      taps: (kh, kw, c, d) real taps of the rectangular part V, d = |out - in| (may be 0).
      bias: (out,).
      size: (H, W) that the inverse belongs to.
      wide: out >= in.
    """

    inverse: Planes
    taps: Float[Array, "kh kw c d"]
    bias: Float[Array, " o"]
    size: tuple[int, int]
    wide: bool


def kernel_norm(kernel: Float[Array, "kh kw i o"], size: tuple[int, int], norm: Norm) -> Float[Array, ""]:
    """|w| by which the free kernel is divided.

    Args:
      kernel: (kh, kw, in, out).
      size: (H, W) of the map; matters for "spectrum" only.
      norm: "taps": norm of the spatial kernel, so the layer's map does not depend on the image size (default).
        "spectrum": norm of the spectrum over the kept frequencies, the papers' definition.

    Raises:
      ValueError: unknown norm.
    """
    if norm not in get_args(Norm):
        raise ValueError(f"CayleyConv: unknown norm {norm!r}; choose one of {list(get_args(Norm))}")
    return spectrum_norm(kernel, size) if norm == "spectrum" else safe_root(jnp.sum(kernel**2))


def largest_kernel(shape: tuple[int, ...], dtype: DTypeLike) -> float:
    """|W~| up to which maps keep their lengths to 1e-2 in a type, and to 1e-3 up to 1e3 in float32.

    M = I + U - U^H + V^H V is held with a rounding of |V|^2, which matters in directions that neither V nor U - U^H
    reaches, where M is the identity. At frequencies where M is real there always is one if in > |out - in| > 0 and the
    difference of these two is odd, since a skew matrix of odd side is singular: LARGEST_ODD_KERNEL is for those.

    Args:
      shape: (kh, kw, in, out).
      dtype: float32 or float64.
    """
    side, rest = min(shape[2:]), abs(shape[3] - shape[2])
    odd = 0 < rest < side and (side - rest) % 2
    return (LARGEST_ODD_KERNEL if odd else LARGEST_KERNEL)[jnp.finfo(dtype).bits]


def scaled_kernel(
    kernel: Float[Array, "kh kw i o"], alpha: Float[Array, ""], size: tuple[int, int], norm: Norm
) -> Float[Array, "kh kw i o"]:
    """W~ = alpha w / |w|: the free kernel scaled by the one learnable scalar of the layer; see `kernel_norm`.

    W~ = 0 for w = 0, which makes the layer x -> [x; 0]; all gradients are 0 there. Inside compiled programs |W~| ends
    at `largest_kernel`, where the gradient in alpha is 0; where its value can be looked at, more is an error.

    Raises:
      ValueError: unknown norm, or |W~| above `largest_kernel` outside of traced programs.
    """
    length, taps = kernel_norm(kernel, size, norm), safe_root(jnp.sum(kernel**2))
    scale = jnp.where(length > 0, alpha / jnp.where(length > 0, length, 1), 0)
    largest = largest_kernel(kernel.shape, kernel.dtype)
    if not isinstance(scale, Tracer) and float(jnp.abs(scale) * taps) > largest * (1 + 1e-6):
        raise ValueError(
            f"CayleyConv: alpha {float(alpha):g} makes a kernel of norm {float(jnp.abs(scale) * taps):g}; above "
            f"{largest:g} the layer is not orthogonal in {kernel.dtype}, lower alpha"
        )
    most = largest / jnp.where(taps > 0, taps, 1)
    return kernel * jnp.clip(scale, -most, most)


def split(
    kernel: Float[Array, "kh kw i o"],
) -> tuple[Float[Array, "kh kw c c"], Float[Array, "kh kw c d"], bool]:
    """Taps of U and V, and whether out >= in: of the kernel as it is then, of its plain transpose otherwise."""
    ci, co = kernel.shape[2:]
    tall = kernel if co >= ci else kernel.swapaxes(2, 3)
    side = min(ci, co)
    return tall[..., :side], tall[..., side:], co >= ci


def prepare(
    kernel: Float[Array, "kh kw i o"],
    alpha: Float[Array, ""],
    bias: Float[Array, " o"],
    size: tuple[int, int],
    norm: Norm = "taps",
    solver: Solver = "auto",
) -> CayleyOperator:
    """Everything of a Cayley convolution that does not depend on the input, for maps of (H, W).

    Args:
      kernel: (kh, kw, in, out) free parameters; any in, out.
      alpha: scalar scale, see `scaled_kernel`.
      bias: (out,).
      size: (H, W).
      norm: see `kernel_norm`.
      solver: see kernels.cayley_solve.

    Returns:
      the operator for `apply`.
    """
    _check(kernel, size)
    kernel, alpha = _wide(kernel, alpha)
    square, rectangular, wide = split(scaled_kernel(kernel, alpha, size, norm))
    lags = lag_matrices(square, rectangular)
    m_inverse = inverse_systems(lags, frequencies(size), lambda m: inverse(m, solver))
    return CayleyOperator(m_inverse if wide else m_inverse.mT, rectangular, bias, size, wide)


def apply(
    operator: CayleyOperator, x: Float[Array, "n h w i"], transform: Transform = "auto"
) -> Float[Array, "n h w o"]:
    """Convolve x with a prepared operator: one product per frequency, two transforms, one small convolution.

    Args:
      operator: from `prepare`.
      x: (n, H, W, in), the operator's size.
      transform: see kernels.dft2.

    Returns:
      (n, H, W, out).

    Raises:
      ValueError: x has another size than the operator.
    """
    if x.shape[1:3] != operator.size:
        raise ValueError(
            f"Cayley operator: prepared for maps of {operator.size}, got {x.shape[1:3]}; prepare it for this size"
        )

    x, real, imag, taps, bias = _wide(x, *operator.inverse, operator.taps, operator.bias)

    z = right_hand_side(x, taps, operator.wide)
    if x.shape[0]:
        z = _map(product(Planes(real, imag), _spectrum(z, transform)), operator.size, transform)
    return from_solution(z, x, taps, operator.wide) + over(bias, x)


def cayley_conv(
    x: Float[Array, "n h w i"],
    kernel: Float[Array, "kh kw i o"],
    alpha: Float[Array, ""],
    bias: Float[Array, " o"],
    norm: Norm = "taps",
    solver: Solver = "auto",
    transform: Transform = "auto",
) -> Float[Array, "n h w o"]:
    """Orthogonal circular convolution of x: isometric for out >= in, co-isometric for out < in, for any H x W.

    Equal to Y(f) = Q(f) X(f) with Q the semi-orthogonal Cayley transform of the scaled kernel spectrum, kernel read
    as cross-correlation (arXiv 2506.04951; docs/sources.md 1.2). Sizes are restored exactly, odd ones too.

    Args:
      x: (n, H, W, in); what is narrower than float32 is computed in it.
      kernel: (kh, kw, in, out) free parameters.
      alpha: scalar.
      bias: (out,).
      norm: see `kernel_norm`.
      solver: see kernels.cayley_solve.
      transform: see kernels.dft2.

    Returns:
      (n, H, W, out).
    """
    return convolve(x, kernel, alpha, bias, norm, partial(factor, solver=solver), transform)[0]


def warm_cayley_conv(
    x: Float[Array, "n h w i"],
    kernel: Float[Array, "kh kw i o"],
    alpha: Float[Array, ""],
    bias: Float[Array, " o"],
    start: Complex[Array, "f c c"],
    norm: Norm = "taps",
    transform: Transform = "auto",
) -> tuple[Float[Array, "n h w o"], Complex[Array, "f c c"]]:
    """`cayley_conv` by Newton-Schulz from an approximate inverse, and the inverse to start the next call from.

    Args:
      start: inverse that the previous call returned; zeros for the first call. What is too far off is not used.

    Returns:
      (n, H, W, out) and (F, c, c), c = min(in, out); no gradient flows through the second.
    """
    solve = by_inverse(lambda m, near: newton_schulz(m, near).inverse)
    y, inverses = convolve(x, kernel, alpha, bias, norm, solve, transform, start)
    return y, join(cast(Planes, inverses))[: len(start)]


def convolve(
    x: Float[Array, "n h w i"],
    kernel: Float[Array, "kh kw i o"],
    alpha: Float[Array, ""],
    bias: Float[Array, " o"],
    norm: Norm,
    solver: Elimination,
    transform: Transform,
    start: Complex[Array, "f c c"] | None = None,
) -> tuple[Float[Array, "n h w o"], Factor]:
    """`cayley_conv` with any elimination (see functional.cayley_system), and the factors that it gave.

    Gradients take the factors for exact: the elimination itself is not differentiated.
    """
    size = (x.shape[1], x.shape[2])
    _check(kernel, size)
    if x.shape[0] == 0:
        one = jnp.zeros((1, *x.shape[1:]), x.dtype)
        y, factors = convolve(one, kernel, alpha, bias, norm, solver, transform, start)
        return y[:0], factors
    x, kernel, alpha, bias = _wide(x, kernel, alpha, bias)
    square, rectangular, wide = split(scaled_kernel(kernel, alpha, size, norm))
    columns = _spectrum(right_hand_side(x, rectangular, wide), transform)
    lags, angles = lag_matrices(square, rectangular), frequencies(size)
    z, factors = spectral_solve(lags, columns, angles, solver, start, transpose=not wide)
    y = from_solution(_map(z, size, transform), x, rectangular, wide)
    return y + over(bias, y), factors


def isometry_kernel(matrix: Float[Array, "o i"], kernel_size: tuple[int, int]) -> Float[Array, "kh kw i o"]:
    """Taps whose Cayley convolution (alpha = |taps|) is the pixel-wise product with a given isometry: a RobustBlock's
    projection start.

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


def _check(kernel: Array, size: tuple[int, int]) -> None:
    if kernel.ndim != 4 or 0 in (*kernel.shape, *size):
        raise ValueError(
            "cayley_conv: a kernel (kh, kw, in, out) and a map without empty sides expected, got "
            f"{kernel.shape} and {size}"
        )


def _wide(*arrays: Array) -> tuple[Array, ...]:
    """All in the widest of their types, float32 or wider: transforms and systems have no narrower ones."""
    dtype = jnp.result_type(jnp.float32, *(jnp.asarray(a).dtype for a in arrays))
    return tuple(jnp.asarray(a, dtype) for a in arrays)


def right_hand_side(
    x: Float[Array, "n h w i"], rectangular: Float[Array, "kh kw c d"], wide: bool
) -> Float[Array, "n h w c"]:
    """r of the systems M z = r (out >= in) or M^T z = r (out < in) by which Q x is computed without Q:

    out >= in:  r = x                                                   (isometry)
    out <  in:  r = x_top - V^T x_bottom                                (its transpose: the norm never grows)
    """
    if wide:
        return x
    side = rectangular.shape[2]
    return x[..., :side] - circular_conv(x[..., side:], rectangular.swapaxes(2, 3))


def from_solution(
    z: Float[Array, "n h w c"], x: Float[Array, "n h w i"], rectangular: Float[Array, "kh kw c d"], wide: bool
) -> Float[Array, "n h w o"]:
    """y = Q x from the solution z of the systems whose right-hand side `right_hand_side` gives:

    out >= in:  y = [2 z - x ; -2 V z]
    out <  in:  y = 2 z - x_top
    """
    if wide:
        return jnp.concatenate([2 * z - x, -2 * circular_conv(z, rectangular)], axis=-1)
    return 2 * z - x[..., : rectangular.shape[2]]


def _spectrum(x: Float[Array, "n h w c"], transform: Transform) -> Complex[Array, "n f c"]:
    return rfft2(x, transform).reshape(x.shape[0], -1, x.shape[-1])


def _map(spectrum: Complex[Array, "n f c"], size: tuple[int, int], transform: Transform) -> Float[Array, "n h w c"]:
    n, _, c = spectrum.shape
    return irfft2(spectrum.reshape(n, size[0], -1, c), size, transform)
