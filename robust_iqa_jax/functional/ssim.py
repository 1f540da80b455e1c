"""Structural similarity of image pairs, at one scale and at five, differentiable.
Sources: Wang, Bovik, Sheikh, Simoncelli 2004 (SSIM); Wang, Simoncelli, Bovik 2003 (MS-SSIM and its exponents)."""

import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float

WINDOW = 11
MS_SSIM_EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)

_SIGMA = 1.5
_C1 = 0.01**2
_C2 = 0.03**2
# A negative contrast-structure term has no real power, and x^0.0448 no finite slope at zero.
_FLOOR = 1e-6


def ssim(x: Float[Array, "n h w c"], y: Float[Array, "n h w c"]) -> Float[Array, " n"]:
    """Mean SSIM with the published settings: Gaussian window 11x11 of sigma 1.5, K = (0.01, 0.03), range 1.

    Windows lie wholly inside the image; variances are the window's own (no n / (n - 1)). The map is averaged over
    positions and channels.

    Args:
      x, y: images in [0,1] of one shape.

    Returns:
      (n,) in [-1, 1]; 1 for equal images.

    Raises:
      ValueError: shapes differ or are not (n, h, w, c); a side below 11 pixels.
    """
    _check("ssim", x, y, WINDOW)
    luminance, structure = _maps(x, y)
    return (luminance * structure).mean((1, 2, 3))


def ms_ssim(x: Float[Array, "n h w c"], y: Float[Array, "n h w c"]) -> Float[Array, " n"]:
    """Multi-scale SSIM: the product over five scales of contrast-structure means to the published exponents, times the
    luminance at the coarsest; 2x2 averages between scales (an odd last row or column is dropped).

    Each channel has its own product; the channels are averaged. Means below 1e-6 (anti-correlated images) are raised to
    it, so that powers and gradients stay finite.

    Args:
      x, y: images in [0,1] of one shape.

    Returns:
      (n,) in (0, 1]; 1 for equal images.

    Raises:
      ValueError: shapes differ or are not (n, h, w, c); a side below 176 pixels (11 at the coarsest scale).
    """
    scales = len(MS_SSIM_EXPONENTS)
    _check("ms_ssim", x, y, WINDOW * 2 ** (scales - 1))
    log_product = jnp.zeros((), x.dtype)
    for scale, exponent in enumerate(MS_SSIM_EXPONENTS):
        if scale:
            x, y = _halve(x), _halve(y)
        luminance, structure = _maps(x, y)
        term = structure if scale < scales - 1 else luminance * structure
        log_product += exponent * jnp.log(jnp.maximum(term.mean((1, 2)), _FLOOR))
    return jnp.exp(log_product).mean(-1)


def _check(name: str, x: Array, y: Array, smallest: int) -> None:
    if x.ndim != 4 or x.shape != y.shape:
        raise ValueError(f"{name}: expected two arrays (n, h, w, c) of one shape, got {x.shape} and {y.shape}")
    if min(x.shape[1:3]) < smallest:
        raise ValueError(
            f"{name}: images of {x.shape[1]} x {x.shape[2]} are too small; each side needs {smallest} pixels or more"
        )


def _maps(x: Array, y: Array) -> tuple[Array, Array]:
    """The luminance map and the contrast-structure map of every whole window."""
    n = x.shape[0]
    moments = _blur(jnp.concatenate([x, y, x * x, y * y, x * y]))
    mean_x, mean_y, square_x, square_y, product = (moments[i * n : (i + 1) * n] for i in range(5))
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    covariance = product - mean_x * mean_y
    variances = square_x - mean_x**2 + square_y - mean_y**2
    return luminance, (2 * covariance + _C2) / (variances + _C2)


def _blur(x: Array) -> Array:
    # Banded matrices: as fast on CPU as a sum over shifted slices, but the gradient runs three times and compiles nine
    # times faster. XLA's grouped convolution is slower than either.
    rows, columns = _band(x.shape[1], x.dtype), _band(x.shape[2], x.dtype)
    x = jnp.einsum("ih,nhwc->niwc", rows, x, precision="highest")
    return jnp.einsum("jw,niwc->nijc", columns, x, precision="highest")


def _band(side: int, dtype: DTypeLike) -> Array:
    """(side - 10, side): row i holds the window's weights at columns i..i + 10."""
    taps = np.exp(-((np.arange(WINDOW) - WINDOW // 2) ** 2) / (2 * _SIGMA**2))
    band = sum(np.eye(side - WINDOW + 1, side, k) * tap for k, tap in enumerate(taps / taps.sum()))
    return jnp.asarray(band, dtype)


def _halve(x: Array) -> Array:
    n, height, width, channels = x.shape
    x = x[:, : height // 2 * 2, : width // 2 * 2]
    return x.reshape(n, height // 2, 2, width // 2, 2, channels).mean((2, 4))
