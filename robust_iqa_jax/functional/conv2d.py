"""2-D convolution near a CPU's matrix rate at every batch, forward and backward; XLA's own on accelerators.
Semantics of torch.nn.functional.conv2d (cross-correlation, explicit zero padding), channels last."""

from functools import partial, reduce
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from robust_iqa_jax.functional.bilinear import bilinear
from robust_iqa_jax.functional.elementwise import as_float

HIGHEST = lax.Precision.HIGHEST
FEW = 256
"""The gradients of kernels with at most this many inputs per output are one product, with all shifted copies of the
map side by side."""


def conv2d(
    x: Float[Array, "n h w i"],
    kernel: Float[Array, "kh kw j o"],
    stride: int = 1,
    padding: int | tuple[int, int] = 0,
) -> Float[Array, "n h2 w2 o"]:
    """Convolve (cross-correlate) maps; groups follow from the shapes, i / j of them.

    On CPU XLA's own convolution is used where it is fast: forward and for the input's gradient at stride 1. Its other
    gradients, 1x1 and grouped kernels run at a third of the machine's rate and less: those are sums over taps of matrix
    products. Differentiable to any order in both modes.

    Args:
      x: (n, h, w, i); integers are read as float32.
      kernel: (kh, kw, i / groups, o); of two types the wider one is computed in.
      stride: >= 1, along both sides.
      padding: zeros on every side, or (above and below, left and right).

    Returns:
      (n, (h + 2 padding - kh) // stride + 1, ..., o).
    """
    x, kernel = as_float(x), as_float(kernel)
    dtype = jnp.promote_types(x.dtype, kernel.dtype)
    padding = (padding, padding) if isinstance(padding, int) else padding
    return _conv2d(x.astype(dtype), kernel.astype(dtype), stride=stride, padding=padding)


def circular_conv(x: Float[Array, "n h w i"], taps: Float[Array, "kh kw i o"]) -> Float[Array, "n h w o"]:
    """Convolution on a torus, the kind that a DFT diagonalises: cross-correlation with wrapped borders, centre tap
    (k - 1) // 2, same size.

    Args:
      x: (n, h, w, in).
      taps: (kh, kw, in, out); maps smaller than the kernel are wrapped around as often as it takes.

    Returns:
      (n, h, w, out).
    """
    if taps.shape[-1] == 0 or taps.shape[-2] == 0:
        return jnp.zeros((*x.shape[:3], taps.shape[-1]), x.dtype)
    pads = [((k - 1) // 2, k - 1 - (k - 1) // 2) for k in taps.shape[:2]]
    return conv2d(jnp.pad(x, ((0, 0), *pads, (0, 0)), mode="wrap"), taps)


def circular_conv_adjoint(y: Float[Array, "n h w o"], taps: Float[Array, "kh kw i o"]) -> Float[Array, "n h w i"]:
    """The adjoint of `circular_conv` with these taps: taps turned around, their centre too; (n, h, w, in)."""
    if taps.shape[-1] == 0 or taps.shape[-2] == 0:
        return jnp.zeros((*y.shape[:3], taps.shape[-2]), y.dtype)
    pads = [(k - 1 - (k - 1) // 2, (k - 1) // 2) for k in taps.shape[:2]]
    padded = jnp.pad(y, ((0, 0), *pads, (0, 0)), mode="wrap")
    return conv2d(padded, taps[::-1, ::-1].swapaxes(2, 3))


def _of_maps(x: Array, kernel: Array, stride: int, padding: tuple[int, int]) -> Array:
    return lax.platform_dependent(
        x, kernel, cpu=partial(_on_cpu, stride=stride, padding=padding), default=partial(_native, stride, padding)
    )


def _on_cpu(x: Array, kernel: Array, stride: int, padding: tuple[int, int]) -> Array:
    if not _native_is_fast(x, kernel):
        return _by_products(x, kernel, stride, padding)
    if stride > 1 and any(padding):
        return _native(stride, padding, x, kernel)
    # XLA's path for equal padding, or for none, is up to three times slower: zeros below, their outputs cut off again
    height = (x.shape[1] + 2 * padding[0] - kernel.shape[0]) // stride + 1
    below = (padding[0], padding[0] + stride)
    return _convolved(x, kernel, stride, (below, (padding[1], padding[1])))[:, :height]


def _native_is_fast(x: Any, kernel: Array) -> bool:
    return kernel.shape[0] * kernel.shape[1] > 1 and x.shape[-1] == kernel.shape[2]


def _native(stride: int, padding: tuple[int, int], x: Array, kernel: Array) -> Array:
    return _convolved(x, kernel, stride, ((padding[0], padding[0]), (padding[1], padding[1])))


def _convolved(x: Array, kernel: Array, stride: int, padding: tuple[tuple[int, int], tuple[int, int]]) -> Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1] // kernel.shape[2],
        precision=HIGHEST if x.dtype == jnp.float32 else None,
    )


def _of_input(y_bar: Array, x: Any, kernel: Array, stride: int, padding: tuple[int, int]) -> Array:
    def native(kernel: Array, y_bar: Array) -> Array:
        return jax.linear_transpose(lambda x: _native(stride, padding, x, kernel), x)(y_bar)[0]

    def on_cpu(kernel: Array, y_bar: Array) -> Array:
        return _input_cotangent(x, kernel, y_bar, stride, padding)

    return lax.platform_dependent(kernel, y_bar, cpu=on_cpu, default=native)


def _of_kernel(y_bar: Array, x: Array, kernel: Any, stride: int, padding: tuple[int, int]) -> Array:
    def native(x: Array, y_bar: Array) -> Array:
        return jax.linear_transpose(lambda kernel: _native(stride, padding, x, kernel), kernel)(y_bar)[0]

    def on_cpu(x: Array, y_bar: Array) -> Array:
        return _kernel_cotangent(x, kernel, y_bar, stride, padding)

    return lax.platform_dependent(x, y_bar, cpu=on_cpu, default=native)


_conv2d = bilinear(_of_maps, _of_input, _of_kernel, rows=True)


def _taps(kernel: Any) -> list[tuple[int, int]]:
    return [(r, c) for r in range(kernel.shape[0]) for c in range(kernel.shape[1])]


def _shifted(x: Array, kernel: Any, stride: int, padding: tuple[int, int]) -> list[Array]:
    """For every tap the pixels that it sees, (n, h2, w2, i)."""
    padded = jnp.pad(x, ((0, 0), (padding[0],) * 2, (padding[1],) * 2, (0, 0)))
    n, h, w, i = padded.shape
    rows, columns = ((side - k) // stride * stride + 1 for side, k in zip((h, w), kernel.shape, strict=False))
    return [
        lax.slice(padded, (0, r, c, 0), (n, r + rows, c + columns, i), (1, stride, stride, 1)) for r, c in _taps(kernel)
    ]


def _by_products(x: Array, kernel: Array, stride: int, padding: tuple[int, int]) -> Array:
    groups, seen = x.shape[-1] // kernel.shape[2], _shifted(x, kernel, stride, padding)
    weights = [_grouped(kernel[r, c], groups) for r, c in _taps(kernel)]
    total = reduce(jnp.add, (_matmul(_rows(s, groups), k) for s, k in zip(seen, weights, strict=True)))
    return _maps(total, (*seen[0].shape[:3], kernel.shape[3]))


def _kernel_cotangent(x: Array, kernel: Any, y_bar: Array, stride: int, padding: tuple[int, int]) -> Array:
    groups = x.shape[-1] // kernel.shape[2]
    seen, cotangent = _shifted(x, kernel, stride, padding), _rows(y_bar, groups)
    if groups == 1 and len(seen) * x.shape[-1] <= FEW:
        pixels = jnp.concatenate(seen, axis=-1).reshape(-1, len(seen) * x.shape[-1])
        return _matmul(pixels.T, cotangent[0]).reshape(kernel.shape)
    # over the first axis of both as they lie: a transposed copy of the pixels costs as much as the product
    over_pixels = (((1,), (1,)), ((0,), (0,)))
    parts = [lax.dot_general(_rows(s, groups), cotangent, over_pixels, precision=HIGHEST) for s in seen]
    return jnp.stack([_ungrouped(p) for p in parts]).reshape(kernel.shape)


def _input_cotangent(x: Any, kernel: Array, y_bar: Array, stride: int, padding: tuple[int, int]) -> Array:
    kh, kw = kernel.shape[:2]
    around = (kh - 1 - padding[0], kw - 1 - padding[1])
    if stride == 1 and min(around) >= 0 and _native_is_fast(x, kernel):
        return _on_cpu(y_bar, kernel[::-1, ::-1].swapaxes(2, 3), 1, around)
    (h, w, ci), groups = x.shape[1:], x.shape[-1] // kernel.shape[2]
    cotangent, maps = _rows(y_bar, groups), (*y_bar.shape[:3], ci)
    if groups == 1 and kh * kw * ci <= FEW:
        side_by_side = _matmul(cotangent[0], kernel.reshape(-1, kernel.shape[3]).T).reshape(*maps[:3], kh * kw, ci)
        shares = [side_by_side[..., t, :] for t in range(kh * kw)]
    else:
        weights = [_grouped(kernel[r, c], groups).swapaxes(-1, -2) for r, c in _taps(kernel)]
        shares = [_maps(_matmul(cotangent, k), maps) for k in weights]
    zero, spread = jnp.zeros((), x.dtype), []
    for (r, c), share in zip(_taps(kernel), shares, strict=True):
        # each tap's share goes back to the pixels that it saw: shifted, and every stride-th one
        rows, columns = ((side - 1) * stride + 1 for side in share.shape[1:3])
        edges = [(r, h + 2 * padding[0] - r - rows, stride - 1), (c, w + 2 * padding[1] - c - columns, stride - 1)]
        spread.append(lax.pad(share, zero, [(0, 0, 0), *edges, (0, 0, 0)]))
    return reduce(jnp.add, spread)[:, padding[0] : padding[0] + h, padding[1] : padding[1] + w]


def _rows(x: Array, groups: int) -> Array:
    """(n, h, w, c) -> (groups, n h w, c / groups)."""
    return x.reshape(-1, groups, x.shape[-1] // groups).swapaxes(0, 1)


def _maps(rows: Array, shape: tuple[int, ...]) -> Array:
    return rows.swapaxes(0, 1).reshape(shape)


def _grouped(taps: Array, groups: int) -> Array:
    """(j, o) -> (groups, j, o / groups): outputs belong to groups in order."""
    return taps.reshape(taps.shape[0], groups, -1).swapaxes(0, 1)


def _ungrouped(taps: Array) -> Array:
    return taps.swapaxes(0, 1).reshape(taps.shape[1], -1)


def _matmul(x: Array, y: Array) -> Array:
    return jnp.matmul(x, y, precision=HIGHEST)
