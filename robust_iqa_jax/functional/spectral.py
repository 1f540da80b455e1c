"""Spectra of small circular kernels without transforming padded kernels: phases times taps, and lag Gram matrices.
Conventions of the Cayley convolution of arXiv 2506.04951 and Trockman & Kolter 2021 (arXiv 2104.07167)."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from robust_iqa_jax.functional.bilinear import bilinear

HIGHEST = jax.lax.Precision.HIGHEST


def frequencies(size: tuple[int, int]) -> np.ndarray:
    """Angular frequencies that rfft2 keeps, (H * (W//2 + 1), 2), in radians per pixel (row, column)."""
    height, width = size
    rows = 2 * np.pi * np.arange(height) / height
    columns = 2 * np.pi * np.arange(width // 2 + 1) / width
    return np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)


def tap_offsets(kernel_size: tuple[int, int]) -> np.ndarray:
    """Offsets (kh * kw, 2) of the taps from the centre tap, (k - 1) // 2 along each axis."""
    rows, columns = (np.arange(k) - (k - 1) // 2 for k in kernel_size)
    return np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)


def kernel_spectrum(kernel: Float[Array, "kh kw i o"], size: tuple[int, int]) -> Complex[Array, "f o i"]:
    """Spectrum W(f) of cross-correlation with `kernel` on a circular H x W grid.

    W(f) = sum_t w_t exp(+i theta_f . t), t measured from the centre tap: the conj(rfft2(w)) * shift of the paper's
    construction (docs/sources.md 1.2), for any H x W, as one small product instead of a transform of a padded kernel.

    Args:
      kernel: (kh, kw, in, out) real taps.
      size: (H, W) of the map that it acts on.

    Returns:
      (H * (W//2 + 1), out, in) complex.
    """
    kh, kw, ci, co = kernel.shape
    angle = frequencies(size) @ tap_offsets((kh, kw)).T
    taps = kernel.reshape(kh * kw, ci * co)
    real = jnp.matmul(np.cos(angle).astype(kernel.dtype), taps, precision=HIGHEST)
    imag = jnp.matmul(np.sin(angle).astype(kernel.dtype), taps, precision=HIGHEST)
    return jax.lax.complex(real, imag).reshape(-1, ci, co).swapaxes(-1, -2)


def spectrum_norm(kernel: Float[Array, "kh kw i o"], size: tuple[int, int]) -> Float[Array, ""]:
    """||W||_F over the frequencies that rfft2 keeps, without forming W.

    A quadratic form in the taps: sum_f |W(f)|^2 = sum_{t,t'} <w_t, w_t'> sum_f cos(theta_f . (t' - t)).

    Args:
      kernel: (kh, kw, in, out) real taps.
      size: (H, W).

    Returns:
      scalar.
    """
    kh, kw = kernel.shape[:2]
    offsets = tap_offsets((kh, kw))
    lags = offsets[None, :, :] - offsets[:, None, :]
    weight = np.cos(np.einsum("fa,uva->fuv", frequencies(size), lags)).sum(0)
    taps = kernel.reshape(kh * kw, -1)
    gram = jnp.matmul(taps, taps.T, precision=HIGHEST)
    return safe_root(jnp.sum(gram * weight.astype(kernel.dtype)))


def safe_root(square: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """sqrt(square), with a gradient of 0 where there is no other: at 0, and below, where rounding led there."""
    positive = square > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1)), 0)


def half_lags(kernel_size: tuple[int, int]) -> np.ndarray:
    """Lags d between two taps, one of each pair +-d, (0, 0) first: ((2kh-1)(2kw-1) + 1) / 2 rows of 2."""
    kh, kw = kernel_size
    grid = [(r, c) for r in range(-kh + 1, kh) for c in range(-kw + 1, kw)]
    return np.array([(0, 0)] + [d for d in grid if d > (0, 0)])


@jax.custom_jvp
def lag_gram(taps: Float[Array, "kh kw i o"]) -> Float[Array, "lags i i"]:
    """Lag matrices G_d = sum_{t'-t=d} V_t^T V_t' of the taps for every lag of `half_lags`; G_-d = G_d^T.

    They carry V(f)^H V(f) = G_0 + sum_{d>0} (G_d e^{i theta d} + G_d^T e^{-i theta d}) for all frequencies at once.

    Args:
      taps: (kh, kw, i, o): V_t^T, the kernel layout of this library.

    Returns:
      (lags, i, i) real.
    """
    return _lag_products(taps, taps)


@lag_gram.defjvp
def _lag_gram_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return lag_gram(*primals), _lag_gram_change(*primals, *tangents)


def _lag_products(left: Array, right: Array) -> Array:
    kh, kw, ci, co = left.shape
    pairs = _tap_pairs((kh, kw))
    left, right = (taps.reshape(kh * kw, ci, co) for taps in (left, right))
    # one product a pair: a CPU takes twice as long over them as one contraction of many axes
    products = [[jnp.matmul(left[i], right[j].T, precision=HIGHEST) for i, j in of_lag] for of_lag in pairs]
    return jnp.stack([sum(some[1:], some[0]) for some in products])


def _lag_gram_at(taps: Array, change: Array) -> Array:
    """Derivative of `lag_gram` at some taps along a change of them; symmetric in the two."""
    return _lag_products(taps, change) + _lag_products(change, taps)


def _lag_gram_cotangent(taps: Array, cotangent: Array) -> Array:
    """Cotangent of tap t: sum over lags of G_d V_{t+d} + G_d^T V_{t-d}, one product for all of them."""
    kh, kw, ci, co = taps.shape
    zero = jnp.zeros((ci, ci), taps.dtype)
    blocks = [[zero] * (kh * kw) for _ in range(kh * kw)]
    for of_lag, g in zip(_tap_pairs((kh, kw)), cotangent, strict=True):
        for i, j in of_lag:
            blocks[i][j] = blocks[i][j] + g
            blocks[j][i] = blocks[j][i] + g.T
    return jnp.matmul(jnp.block(blocks), taps.reshape(kh * kw * ci, co), precision=HIGHEST).reshape(taps.shape)


_lag_gram_change = bilinear(
    _lag_gram_at,
    lambda cotangent, taps, change: _lag_gram_cotangent(change, cotangent),
    lambda cotangent, taps, change: _lag_gram_cotangent(taps, cotangent),
    rows=False,
)


def _tap_pairs(kernel_size: tuple[int, ...]) -> list[list[tuple[int, int]]]:
    """For every lag of `half_lags` the pairs (t, t') of taps, row by row, with t' - t the lag."""
    kh, kw = kernel_size
    taps = [(r, c) for r in range(kh) for c in range(kw)]
    index = {tap: i for i, tap in enumerate(taps)}
    return [
        [(index[r, c], index[r + dr, c + dc]) for r, c in taps if (r + dr, c + dc) in index]
        for dr, dc in half_lags((kh, kw)).tolist()
    ]
