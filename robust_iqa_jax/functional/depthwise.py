"""Depthwise 2-D convolution with TensorFlow's SAME padding, fast on CPU as well as on accelerators.
Source: arXiv 1704.04861 (depthwise separable convolutions); padding as in tf.nn.depthwise_conv2d."""

from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from robust_iqa_jax.functional.bilinear import bilinear
from robust_iqa_jax.functional.elementwise import as_float, over
from robust_iqa_jax.functional.same_padding import same_padding

Padding = Literal["SAME", "VALID"]
_Pads = tuple[tuple[int, int], tuple[int, int]]


def depthwise_conv(
    x: Float[Array, "n h w c"], kernel: Float[Array, "k k c"], stride: int = 1, padding: Padding = "SAME"
) -> Float[Array, "n h2 w2 c"]:
    """Convolve (cross-correlate) each channel with its own kernel.

    XLA's grouped convolution is tens of times slower than needed on CPU, so there the result is a sum over the taps
    of shifted slices; GPU and TPU use the native convolution. The platform is chosen when the program is lowered.
    Differentiable to any order in both modes.

    Args:
      x: (n, h, w, c), any real floating type; integers are read as float32.
      kernel: (k, k, c), cast to the type of x.
      stride: >= 1, the same along both sides.
      padding: "SAME" gives ceil(size / stride), the odd pixel of padding after the map; "VALID" pads nothing.

    Returns:
      (n, h2, w2, c) in the type of x.

    Raises:
      ValueError: shapes that do not fit, an unknown padding, a stride below 1, or a VALID kernel larger than the map.
    """
    x = as_float(x)
    if x.ndim != 4 or kernel.ndim != 3 or kernel.shape[0] != kernel.shape[1] or kernel.shape[2] != x.shape[3]:
        raise ValueError(f"depthwise_conv: x (n, h, w, c) and kernel (k, k, c) expected, got {x.shape}, {kernel.shape}")
    if padding not in ("SAME", "VALID"):
        raise ValueError(f"depthwise_conv: unknown padding {padding!r}; choose 'SAME' or 'VALID'")
    if stride < 1:
        raise ValueError(f"depthwise_conv: stride must be at least 1, got {stride}")
    size = kernel.shape[0]
    if padding == "VALID" and min(x.shape[1:3]) < size:
        raise ValueError(f"depthwise_conv: a VALID kernel of {size} does not fit a map of {x.shape[1:3]}")
    pads = (same_padding(x.shape[1], size, stride), same_padding(x.shape[2], size, stride))
    pads = ((0, 0), (0, 0)) if padding == "VALID" else pads
    return _depthwise(x, kernel.astype(x.dtype), stride=stride, pads=pads)


def _of_each_channel(x: Array, kernel: Array, stride: int, pads: _Pads) -> Array:
    taps = partial(_tap_sum, stride=stride, pads=pads)
    native = partial(_native, stride=stride, pads=pads)
    return lax.platform_dependent(x, kernel, cpu=taps, default=native)


def _of_input(ct: Array, x: Any, kernel: Array, stride: int, pads: _Pads) -> Array:
    def taps(kernel: Array, ct: Array) -> Array:
        return _tap_input_grad(kernel, ct, x.shape, stride, pads)

    def native(kernel: Array, ct: Array) -> Array:
        return jax.linear_transpose(lambda x: _native(x, kernel, stride, pads), x)(ct)[0]

    return lax.platform_dependent(kernel, ct, cpu=taps, default=native)


def _of_kernel(ct: Array, x: Array, kernel: Any, stride: int, pads: _Pads) -> Array:
    def taps(x: Array, ct: Array) -> Array:
        return _tap_kernel_grad(x, ct, kernel.shape, stride, pads)

    def native(x: Array, ct: Array) -> Array:
        return jax.linear_transpose(lambda kernel: _native(x, kernel, stride, pads), kernel)(ct)[0]

    return lax.platform_dependent(x, ct, cpu=taps, default=native)


_depthwise = bilinear(_of_each_channel, _of_input, _of_kernel, rows=True)


def _native(x: Array, kernel: Array, stride: int, pads: _Pads) -> Array:
    return lax.conv_general_dilated(
        x,
        kernel[:, :, None, :],
        (stride, stride),
        pads,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1],
    )


def _tap_sum(x: Array, kernel: Array, stride: int, pads: _Pads) -> Array:
    x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    rows, columns = ((n - kernel.shape[0]) // stride + 1 for n in x.shape[1:3])
    out = jnp.zeros((), x.dtype)
    for i in range(kernel.shape[0]):
        for j in range(kernel.shape[0]):
            window = x[:, i : i + (rows - 1) * stride + 1 : stride, j : j + (columns - 1) * stride + 1 : stride]
            out = out + over(kernel[i, j], window) * window
    return out


def _tap_input_grad(kernel: Array, ct: Array, shape: tuple[int, ...], stride: int, pads: _Pads) -> Array:
    """dx[y] = sum over taps i with y + pad - i = stride * o of kernel[i] ct[o], one sum for each residue of y."""
    size = kernel.shape[0]
    rows, columns = -(-shape[1] // stride), -(-shape[2] // stride)
    margin = size // stride + 1
    ct = jnp.pad(ct, ((0, 0), (margin, margin + 1), (margin, margin + 1), (0, 0)))
    ct = jnp.pad(ct, ((0, 0), (0, max(0, rows + 2 * margin + 1 - ct.shape[1])), (0, 0), (0, 0)))
    ct = jnp.pad(ct, ((0, 0), (0, 0), (0, max(0, columns + 2 * margin + 1 - ct.shape[2])), (0, 0)))
    phases = []
    for p in range(stride):
        for q in range(stride):
            phase = jnp.zeros((shape[0], rows, columns, shape[3]), ct.dtype)
            for i in range(size):
                for j in range(size):
                    a, beyond_row = divmod(p + pads[0][0] - i, stride)
                    b, beyond_column = divmod(q + pads[1][0] - j, stride)
                    if not (beyond_row or beyond_column):
                        a, b = a + margin, b + margin
                        phase = phase + over(kernel[i, j], ct) * ct[:, a : a + rows, b : b + columns]
            phases.append(phase)
    grid = jnp.stack(phases).reshape(stride, stride, *phases[0].shape).transpose(2, 3, 0, 4, 1, 5)
    return grid.reshape(shape[0], rows * stride, columns * stride, shape[3])[:, : shape[1], : shape[2]]


def _tap_kernel_grad(x: Array, ct: Array, shape: tuple[int, ...], stride: int, pads: _Pads) -> Array:
    """dkernel[i, j] = sum over n, h, w of x shifted by (i, j) times ct.

    Summed row by row into maps of one row: XLA's CPU reductions over (n, h, w) that keep the channels are several
    times slower than these elementwise additions.
    """
    size = shape[0]
    x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    n, rows, columns, channels = ct.shape

    def add_row(sums: list[Array], index: Array) -> tuple[list[Array], None]:
        image, row = index // rows, index % rows
        out = lax.dynamic_slice(ct, (image, row, 0, 0), (1, 1, columns, channels))[0, 0]
        window = lax.dynamic_slice(x, (image, row * stride, 0, 0), (1, size, x.shape[2], channels))[0]
        taps = ((i, slice(j, j + (columns - 1) * stride + 1, stride)) for i in range(size) for j in range(size))
        return [s + window[i, columns] * out for s, (i, columns) in zip(sums, taps, strict=True)], None

    zero = jnp.zeros((columns, channels), jnp.promote_types(ct.dtype, jnp.float32))
    sums, _ = lax.scan(add_row, [zero] * size**2, jnp.arange(n * rows))
    return jnp.stack([s.sum(0) for s in sums]).reshape(shape).astype(ct.dtype)
