"""JPEG compression and decompression of images, computed on the device with libjpeg's arithmetic, and differentiable.
ITU-T T.81 (Annexes A and K), ITU-T T.871 (colours), libjpeg's quality scale and chroma resampling (IJG, jcparam.c)."""

from functools import partial
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from robust_iqa_jax.functional.straight_through import straight_through

Subsampling = Literal["4:2:0", "4:4:4"]
Plane = Float[Array, "n h w"]

LUMA_TABLE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    np.int32,
)
"""T.81 table K.1, at quality 50."""

CHROMA_TABLE = np.full((8, 8), 99, np.int32)
"""T.81 table K.2, at quality 50."""
CHROMA_TABLE[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]

_TO_YCBCR = np.array([[0.299, 0.587, 0.114], [-0.168735892, -0.331264108, 0.5], [0.5, -0.418687589, -0.081312411]])
_TO_RGB = np.array([[1, 0, 1.402], [1, -0.344136286, -0.714136286], [1, 1.772, 0]])
_FREQUENCY, _SAMPLE = np.mgrid[:8, :8]
_SCALED = np.where(_FREQUENCY == 0, 1, 2**0.5) * np.cos((2 * _SAMPLE + 1) * _FREQUENCY * np.pi / 16)

# Matrix products of accelerators default to fewer bits than a rounding to whole levels bears.
_einsum = partial(jnp.einsum, precision="highest")


def round_trip(
    images: Float[Array, "n h w 3"], quality: Any, subsampling: Subsampling = "4:2:0"
) -> Float[Array, "n h w 3"]:
    """Images in [0,1] after compression at a quality and decompression, both ends rounded to 8 bits.

    Sizes that are no multiple of a block are padded with their edges. On photos the mean difference to Pillow's result
    is below 0.2 grey levels: nine of ten values are the same, and a few blocks differ by one step of the quantiser,
    where the transforms' rounding decides a tie.

    Derivatives are those of the codec without its roundings: colour transform, resampling of the colours, and clipping
    are differentiated as they are, every rounding and the quantiser as the identity (straight_through.py).

    Args:
      images: pixels in [0,1].
      quality: libjpeg's, 1 (worst) to 100; 50 uses the standard's tables as they are. May be traced.
      subsampling: "4:2:0" (colours at half the size, as most encoders do) or "4:4:4".

    Raises:
      ValueError: images without three channels.
    """
    if images.shape[-1] != 3:
        raise ValueError(f"jpeg needs images of 3 channels, got {images.shape[-1]}")
    levels = images.astype(jnp.promote_types(images.dtype, jnp.float32)) * 255
    pixels = straight_through(jnp.round(levels), levels)
    planes = _whole(_einsum("nhwc,dc->dnhw", pixels, _TO_YCBCR) + _offsets())
    tables = [scaled_table(table, quality) for table in (LUMA_TABLE, CHROMA_TABLE, CHROMA_TABLE)]
    halved = subsampling == "4:2:0"
    decoded = [
        _chroma(plane, table) if halved and i else _compressed(plane, table)
        for i, (plane, table) in enumerate(zip(planes, tables, strict=True))
    ]
    colours = _einsum("dnhw,cd->nhwc", jnp.stack(decoded) - _offsets(), _TO_RGB)
    return (jnp.clip(_whole(colours), 0, 255) / 255).astype(images.dtype)


def scaled_table(table: np.ndarray, quality: Any) -> Float[Array, "8 8"]:
    """A quantisation table at libjpeg's quality 1 to 100 (jpeg_quality_scaling); whole numbers from 1 to 255."""
    percent = jnp.where(quality < 50, jnp.floor(5000 / quality), 200 - 2 * quality)
    return jnp.clip(jnp.floor((table * percent + 50) / 100), 1, 255)


def _offsets() -> Int[np.ndarray, "3 1 1 1"]:
    return np.array([0, 128, 128]).reshape(3, 1, 1, 1)


def _compressed(plane: Plane, table: Array) -> Plane:
    """A plane of levels 0 to 255 after the quantisation of its 8 x 8 spectra."""
    n, h, w = plane.shape
    padded = _edges(plane, -h % 8, -w % 8)
    blocks = padded.reshape(n, padded.shape[1] // 8, 8, padded.shape[2] // 8, 8) - 128
    # The transforms round after each pass, where libjpeg's do (jfdctint.c, jidctint.c; scaled by sqrt(8) a pass):
    # ties of the quantiser are common, and each tie decided otherwise shows in a whole block.
    rows = _whole(_einsum("nabcd,vd->nabcv", blocks, 4 * _SCALED))
    eighths = _whole(_einsum("nabcv,ub->naucv", rows, _SCALED / 4))
    steps = table[None, None, :, None, :]
    quantised = jnp.sign(eighths) * jnp.floor((jnp.abs(eighths) + 4 * steps) / (8 * steps)) * steps
    quantised = straight_through(quantised, eighths / 8)
    columns = _whole(_einsum("naucv,ub->nabcv", quantised, 4 * _SCALED))
    levels = _einsum("nabcv,vd->nabcd", columns, _SCALED / 32) + 128
    return jnp.clip(_whole(levels), 0, 255).reshape(padded.shape)[:, :h, :w]


def _chroma(plane: Plane, table: Array) -> Plane:
    """A colour plane stored at half the size: 2 x 2 means, compression, triangle interpolation; all in whole levels."""
    _, h, w = plane.shape
    full = _edges(plane, -h % 2, -w % 16)
    sums = full[:, ::2, ::2] + full[:, ::2, 1::2] + full[:, 1::2, ::2] + full[:, 1::2, 1::2]
    bias = 1 + jnp.arange(sums.shape[2]) % 2  # libjpeg rounds means down and up by turns
    means = straight_through(jnp.floor((sums + bias[None, None]) / 4), sums / 4)
    half = _compressed(means, table)[:, :, : -(-w // 2)]
    rows = _interleaved(half, 1)
    nearer = _interleaved(rows, 2)
    rounding = 8 - jnp.arange(nearer.shape[2]) % 2
    return straight_through(jnp.floor((nearer + rounding[None, None]) / 16), nearer / 16)[:, :h, :w]


def _interleaved(plane: Plane, axis: int) -> Float[Array, "n h1 w1"]:
    """Twice the samples along an axis, each 3 times the nearer and once the further neighbour."""
    count = plane.shape[axis]
    before = jnp.take(plane, np.maximum(np.arange(count) - 1, 0), axis)
    after = jnp.take(plane, np.minimum(np.arange(count) + 1, count - 1), axis)
    pairs = jnp.stack([3 * plane + before, 3 * plane + after], axis + 1)
    shape = list(plane.shape)
    shape[axis] *= 2
    return pairs.reshape(shape)


def _edges(plane: Plane, rows: int, columns: int) -> Float[Array, "n h1 w1"]:
    return jnp.pad(plane, ((0, 0), (0, rows), (0, columns)), "edge")


def _whole(x: Array) -> Array:
    """The nearest whole numbers, ties up; the margin is what transforms in float32 leave of a tie."""
    return straight_through(jnp.floor(x + (0.5 + 2**-11)), x)
