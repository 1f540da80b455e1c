"""Orthogonal circular convolution by the Cayley transform of its spectrum, exact and factored: Q is never formed.
The RobustBlock's convolution (arXiv 2506.04951, after arXiv 2104.07167); derivation in ARCHITECTURE.md."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from robust_iqa_jax.functional.spectral import (
    HIGHEST,
    frequencies,
    half_lags,
    kernel_spectrum,
    lag_gram,
    spectrum_norm,
    tap_offsets,
)
from robust_iqa_jax.kernels.cayley_solve.api import Solver, inverse
from robust_iqa_jax.kernels.cayley_solve.newton_schulz import newton_schulz
from robust_iqa_jax.kernels.dft2.api import Transform, irfft2, rfft2

Norm = Literal["taps", "spectrum"]


@partial(jax.tree_util.register_dataclass, data_fields=["inverse", "taps", "bias"], meta_fields=["size", "wide"])
@dataclass(frozen=True)
class CayleyOperator:
    """A Cayley convolution prepared for one map size: M(f)^-1 and what else the apply needs.

    Attributes:
      inverse: (F, c, c) complex, M(f)^-1, c = min(in, out), F = H * (W//2 + 1).
      taps: (kh, kw, c, d) real taps of the rectangular part V, d = |out - in| (may be 0).
      bias: (out,).
      size: (H, W) that the inverse belongs to.
      wide: out >= in.
    """

    inverse: Complex[Array, "f c c"]
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
    return spectrum_norm(kernel, size) if norm == "spectrum" else jnp.linalg.norm(kernel.ravel())


def scaled_kernel(
    kernel: Float[Array, "kh kw i o"], alpha: Float[Array, ""], size: tuple[int, int], norm: Norm
) -> Float[Array, "kh kw i o"]:
    """W~ = alpha w / |w|: the free kernel scaled by the one learnable scalar of the layer; see `kernel_norm`."""
    return kernel * (alpha / kernel_norm(kernel, size, norm))


def _split(kernel: Array) -> tuple[Array, Array, bool]:
    """Square part (kh,kw,c,c) and rectangular part (kh,kw,c,d) of the tall spectrum; a wide output comes as it is,
    a narrow one as its plain transpose."""
    ci, co = kernel.shape[2:]
    tall = kernel if co >= ci else kernel.swapaxes(2, 3)
    side = min(ci, co)
    return tall[..., :side], tall[..., side:], co >= ci


def cayley_system(
    square: Float[Array, "kh kw c c"], rectangular: Float[Array, "kh kw c d"], size: tuple[int, int]
) -> Complex[Array, "f c c"]:
    """M(f) = I + U - U^H + V^H V at every kept frequency, from real lag matrices times phases.

    The cosine part of each lag carries sym(G_d) + skew(U_d + U_-d), the sine part the complementary halves, so two
    real products of (F x lags) with (lags x c^2) give all of M.

    Args:
      square: (kh, kw, c, c): taps of U (layout in, out).
      rectangular: (kh, kw, c, d): taps of V.
      size: (H, W).

    Returns:
      (F, c, c) complex; Re(v^H M v) >= |v|^2.
    """
    kh, kw, side, _ = square.shape
    lags = half_lags((kh, kw))
    gram = lag_gram(rectangular)
    index = {tuple(offset): i for i, offset in enumerate(tap_offsets((kh, kw)).tolist())}
    u = square.reshape(kh * kw, side, side).swapaxes(-1, -2)
    zero = jnp.zeros((side, side), square.dtype)

    def tap(row: int, column: int) -> Array:
        at = index.get((row, column))
        return zero if at is None else u[at]

    plus = jnp.stack([tap(r, c) for r, c in lags.tolist()])
    minus = jnp.stack([tap(-r, -c) for r, c in lags.tolist()])
    even, odd = plus + minus, plus - minus
    cosine = gram + gram.swapaxes(-1, -2) + even - even.swapaxes(-1, -2)
    sine = gram - gram.swapaxes(-1, -2) + odd + odd.swapaxes(-1, -2)
    angle = frequencies(size) @ lags.T
    half_zero = np.where(np.arange(len(lags)) == 0, 0.5, 1.0)  # lag 0 has no partner: count it once
    cos = (np.cos(angle) * half_zero).astype(square.dtype)
    sin = np.sin(angle[:, 1:]).astype(square.dtype)
    real = jnp.matmul(cos, cosine.reshape(len(lags), side * side), precision=HIGHEST).reshape(-1, side, side)
    imag = jnp.matmul(sin, sine[1:].reshape(len(lags) - 1, side * side), precision=HIGHEST).reshape(-1, side, side)
    return jax.lax.complex(real + jnp.eye(side, dtype=square.dtype), imag)


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
    square, rectangular, wide = _split(scaled_kernel(kernel, alpha, size, norm))
    m_inverse = inverse(cayley_system(square, rectangular, size), solver)
    return CayleyOperator(m_inverse, rectangular, bias, size, wide)


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
    m_inverse = operator.inverse if operator.wide else operator.inverse.swapaxes(-1, -2)

    def act(v: Array) -> Array:
        return _in_frequency(lambda s: _product(m_inverse, s), v, transform)

    return _factored(act, x, operator.taps, operator.wide) + operator.bias


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
    as cross-correlation (arXiv 2506.04951; REFERENCE 1.2). Sizes are restored exactly, odd ones too.

    Args:
      x: (n, H, W, in) float32 or float64.
      kernel: (kh, kw, in, out) free parameters.
      alpha: scalar.
      bias: (out,).
      norm: see `kernel_norm`.
      solver: see kernels.cayley_solve.
      transform: see kernels.dft2.

    Returns:
      (n, H, W, out).
    """
    return _convolve(x, kernel, alpha, bias, norm, lambda m: inverse(m, solver), transform)[0]


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
    return _convolve(x, kernel, alpha, bias, norm, lambda m: newton_schulz(m, start).inverse, transform)


def authors_cayley_conv(
    x: Float[Array, "n h w i"],
    kernel: Float[Array, "kh kw i o"],
    alpha: Float[Array, ""],
    bias: Float[Array, " o"],
    norm: Norm = "spectrum",
) -> Float[Array, "n h w2 o"]:
    """`cayley_conv` with the published code's inverse transform, which is not told the width: odd W come back as W - 1.

    For anchors against published numbers only: where W is odd the result is no isometry (REFERENCE 1.2).

    Returns:
      (n, H, 2 (W // 2), out).
    """
    n, h, w, _ = x.shape
    square, rectangular, wide = _split(scaled_kernel(kernel, alpha, (h, w), norm))
    system = cayley_system(square, rectangular, (h, w))
    m_inverse = inverse(jax.lax.stop_gradient(system))
    v = kernel_spectrum(rectangular, (h, w))  # (F, d, c)
    spectrum = rfft2(x).reshape(n, -1, x.shape[-1])
    if wide:
        z = _solve(system, m_inverse, spectrum)
        y = jnp.concatenate([2 * z - spectrum, -2 * _product(v, z)], axis=-1)
    else:
        side = rectangular.shape[2]
        top, bottom = spectrum[..., :side], spectrum[..., side:]
        right = top - _product(v.swapaxes(-1, -2), bottom)
        y = 2 * _solve(system.swapaxes(-1, -2), m_inverse.swapaxes(-1, -2), right) - top
    return irfft2(y.reshape(n, h, w // 2 + 1, -1), (h, 2 * (w // 2))) + bias


def _convolve(
    x: Array,
    kernel: Array,
    alpha: Array,
    bias: Array,
    norm: Norm,
    invert: Callable[[Array], Array],
    transform: Transform,
) -> tuple[Array, Array]:
    size = (x.shape[1], x.shape[2])
    square, rectangular, wide = _split(scaled_kernel(kernel, alpha, size, norm))
    system = cayley_system(square, rectangular, size)
    m_inverse = invert(jax.lax.stop_gradient(system))
    pair = (system, m_inverse) if wide else (system.swapaxes(-1, -2), m_inverse.swapaxes(-1, -2))

    def act(v: Array) -> Array:
        return _in_frequency(lambda s: _solve(*pair, s), v, transform)

    return _factored(act, x, rectangular, wide) + bias, m_inverse


def _factored(m_inverse: Callable[[Array], Array], x: Array, rectangular: Array, wide: bool) -> Array:
    """Q x without Q. With M = I + A:

    out >= in:  z = M^-1 x,  y = [2 z - x ; -2 V z]                     (isometry)
    out <  in:  y = 2 M^-T (x_top - V^T x_bottom) - x_top               (its transpose: norm never grows)
    """
    if wide:
        z = m_inverse(x)
        return jnp.concatenate([2 * z - x, -2 * circular_conv(z, rectangular)], axis=-1)
    side = rectangular.shape[2]
    top, bottom = x[..., :side], x[..., side:]
    return 2 * m_inverse(top - circular_conv(bottom, rectangular.swapaxes(2, 3))) - top


@jax.custom_vjp
def _solve(
    system: Complex[Array, "f c c"], m_inverse: Complex[Array, "f c c"], spectrum: Complex[Array, "n f c"]
) -> Complex[Array, "n f c"]:
    """z = M^-1 x with the inverse at hand; the backward pass reuses it, so no elimination is ever differentiated."""
    return _product(m_inverse, spectrum)


def _solve_forward(system: Array, m_inverse: Array, spectrum: Array) -> tuple[Array, tuple[Array, Array]]:
    z = _product(m_inverse, spectrum)
    return z, (m_inverse, z)


def _solve_backward(residuals: tuple[Array, Array], z_bar: Array) -> tuple[Array, None, Array]:
    # JAX's complex cotangents are linear, not conjugate: transposes, no conjugation.
    m_inverse, z = residuals
    x_bar = _product(m_inverse.swapaxes(-1, -2), z_bar)
    return -jnp.einsum("nfi,nfj->fij", x_bar, z, precision=HIGHEST), None, x_bar


_solve.defvjp(_solve_forward, _solve_backward)


def circular_conv(x: Float[Array, "n h w i"], taps: Float[Array, "kh kw i o"]) -> Float[Array, "n h w o"]:
    """Cross-correlation with wrapped borders, centre tap (k - 1) // 2, same size."""
    if taps.shape[-1] == 0 or taps.shape[-2] == 0:
        return jnp.zeros((*x.shape[:3], taps.shape[-1]), x.dtype)
    pads = [((k - 1) // 2, k - 1 - (k - 1) // 2) for k in taps.shape[:2]]
    wrapped = jnp.pad(x, ((0, 0), *pads, (0, 0)), mode="wrap")
    return jax.lax.conv_general_dilated(
        wrapped, taps, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"), precision=HIGHEST
    )


def _product(matrices: Complex[Array, "f i j"], spectrum: Complex[Array, "n f j"]) -> Complex[Array, "n f i"]:
    return jnp.einsum("fij,nfj->nfi", matrices, spectrum, precision=HIGHEST)


def _in_frequency(
    act: Callable[[Array], Array], x: Float[Array, "n h w c"], transform: Transform
) -> Float[Array, "n h w c"]:
    n, h, w, c = x.shape
    spectrum = rfft2(x, transform)
    return irfft2(act(spectrum.reshape(n, -1, c)).reshape(spectrum.shape), (h, w), transform)


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
