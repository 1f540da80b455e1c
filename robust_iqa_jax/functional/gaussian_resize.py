"""Resize of images by a Gaussian of three source pixels, however much it shrinks: what MUSIQ's published models read.
Semantics of TensorFlow's tf.image.resize with "gaussian" and without antialiasing (MUSIQ; docs/sources.md 2.5)."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float64

RADIUS = 1.5
"""Reach of the filter in source pixels; its standard deviation is a third of it."""


def gaussian_resize(images: Float[Array, "n h w c"], size: tuple[int, int]) -> Float[Array, "n h2 w2 c"]:
    """Resize images (n, h, w, c) to (n, *size, c), in their type.

    New pixel i is a mean of the source pixels nearer than RADIUS to (i + 1/2) n / m, weighed by exp(-2 d^2), d their
    distance. So a resize to the same size blurs, and one to much fewer pixels passes over most of them.
    """
    rows, columns = (jnp.asarray(_weights(n, m), images.dtype) for n, m in zip(images.shape[1:3], size, strict=True))
    return jnp.einsum("ph,qw,nhwc->npqc", rows, columns, images, precision=jax.lax.Precision.HIGHEST)


def size_with_longer_side(size: tuple[int, int], longer: int) -> tuple[int, int]:
    """(height, width) of an image whose longer side is made `longer`, its aspect kept; no side below one pixel.

    Rounded as the published code does: products in float32, halves to the even number.
    """
    ratio = np.float32(longer) / np.float32(max(size))
    height, width = (max(1, int(np.rint(np.float32(side) * ratio))) for side in size)
    return height, width


def _weights(n: int, m: int) -> Float64[np.ndarray, "m n"]:
    centres = (np.arange(m) + 0.5) * (n / m)
    distances = np.abs(np.arange(n) + 0.5 - centres[:, None])
    heights = np.where(distances < RADIUS, np.exp(-4.5 * (distances / RADIUS) ** 2), 0.0)
    return heights / heights.sum(1, keepdims=True)
