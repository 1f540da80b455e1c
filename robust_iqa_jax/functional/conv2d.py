"""2-D convolution that keeps a CPU's matrix rate at every batch, forward and backward; native on accelerators.
Semantics of torch.nn.functional.conv2d (cross-correlation, explicit zero padding), channels last."""

from functools import partial, reduce

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

HIGHEST = lax.Precision.HIGHEST
FEW = 512
"""Kernels with at most this many inputs per output are one product with all their shifted copies side by side."""


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def conv2d(
    x: Float[Array, "n h w i"],
    kernel: Float[Array, "kh kw j o"],
    stride: int = 1,
    padding: int | tuple[int, int] = 0,
) -> Float[Array, "n h2 w2 o"]:
    """Convolve (cross-correlate) maps; groups follow from the shapes, i / j of them.

    On CPU a sum over taps of matrix products: XLA's own convolution falls to a third of the machine's rate at batch 8,
    its gradients further, and its grouped one much further. Differentiable to any order in reverse mode; forward mode
    (jvp) is not available.

    Args:
      x: (n, h, w, i).
      kernel: (kh, kw, i / groups, o), of x's type.
      stride: >= 1, along both sides.
      padding: zeros on every side, or (above and below, left and right).

    Returns:
      (n, (h + 2 padding - kh) // stride + 1, ..., o).
    """
    padding = (padding, padding) if isinstance(padding, int) else padding
    return lax.platform_dependent(
        x, kernel, cpu=partial(_by_products, stride=stride, padding=padding), default=partial(_native, stride, padding)
    )


def _native(stride: int, padding: tuple[int, int], x: Array, kernel: Array) -> Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        [(padding[0], padding[0]), (padding[1], padding[1])],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1] // kernel.shape[2],
        precision=HIGHEST if x.dtype == jnp.float32 else None,
    )


def _forward(x: Array, kernel: Array, stride: int, padding: int | tuple[int, int]) -> tuple[Array, tuple[Array, Array]]:
    return conv2d(x, kernel, stride, padding), (x, kernel)


def _backward(
    stride: int, padding: int | tuple[int, int], residuals: tuple[Array, Array], y_bar: Array
) -> tuple[Array, Array]:
    padding = (padding, padding) if isinstance(padding, int) else padding

    def native(x: Array, kernel: Array, y_bar: Array) -> tuple[Array, Array]:
        return jax.vjp(partial(_native, stride, padding), x, kernel)[1](y_bar)

    by_products = partial(_backward_by_products, stride=stride, padding=padding)
    return lax.platform_dependent(*residuals, y_bar, cpu=by_products, default=native)


conv2d.defvjp(_forward, _backward)


def _taps(kernel: Array) -> list[tuple[int, int]]:
    return [(r, c) for r in range(kernel.shape[0]) for c in range(kernel.shape[1])]


def _shifted(x: Array, kernel: Array, stride: int, padding: tuple[int, int]) -> list[Array]:
    """For every tap the pixels that it sees, (n, h2, w2, i)."""
    padded = jnp.pad(x, ((0, 0), (padding[0],) * 2, (padding[1],) * 2, (0, 0)))
    n, h, w, i = padded.shape
    rows, columns = ((side - k) // stride * stride + 1 for side, k in zip((h, w), kernel.shape, strict=False))
    return [
        lax.slice(padded, (0, r, c, 0), (n, r + rows, c + columns, i), (1, stride, stride, 1)) for r, c in _taps(kernel)
    ]


def _by_products(x: Array, kernel: Array, stride: int, padding: tuple[int, int]) -> Array:
    kh, kw, per_group, co = kernel.shape
    groups = x.shape[-1] // per_group
    seen = _shifted(x, kernel, stride, padding)
    shape = (*seen[0].shape[:3], co)
    if groups == 1 and kh * kw * per_group <= FEW:
        pixels = jnp.concatenate(seen, axis=-1).reshape(-1, kh * kw * per_group)
        return _matmul(pixels, kernel.reshape(-1, co)).reshape(shape)
    flat = [_rows(s, groups) for s in seen]
    weights = [_grouped(kernel[r, c], groups) for r, c in _taps(kernel)]
    total = reduce(jnp.add, (_matmul(s, k) for s, k in zip(flat, weights, strict=True)))
    return _maps(total, shape)


def _backward_by_products(
    x: Array, kernel: Array, y_bar: Array, stride: int, padding: tuple[int, int]
) -> tuple[Array, Array]:
    kh, kw, per_group, co = kernel.shape
    groups = x.shape[-1] // per_group
    h, w, ci = x.shape[1:]
    seen = _shifted(x, kernel, stride, padding)
    cotangent = _rows(y_bar, groups)
    few = groups == 1 and kh * kw * per_group <= FEW
    if few:
        pixels = jnp.concatenate(seen, axis=-1).reshape(-1, kh * kw * per_group)
        kernel_bar = _matmul(pixels.T, cotangent[0]).reshape(kernel.shape)
        side_by_side = _matmul(cotangent[0], kernel.reshape(-1, co).T).reshape(*seen[0].shape[:3], kh * kw, ci)
        shares = [side_by_side[..., t, :] for t in range(kh * kw)]
    else:
        parts = [_matmul(_rows(s, groups).swapaxes(-1, -2), cotangent) for s in seen]
        kernel_bar = jnp.stack([_ungrouped(p) for p in parts]).reshape(kernel.shape)
        weights = [_grouped(kernel[r, c], groups).swapaxes(-1, -2) for r, c in _taps(kernel)]
        shares = [_maps(_matmul(cotangent, k), (*seen[0].shape[:3], ci)) for k in weights]
    zero = jnp.zeros((), x.dtype)
    spread = []
    for (r, c), share in zip(_taps(kernel), shares, strict=True):
        # each tap's share goes back to the pixels that it saw: shifted, and every stride-th one
        rows, columns = ((side - 1) * stride + 1 for side in share.shape[1:3])
        edges = [(r, h + 2 * padding[0] - r - rows, stride - 1), (c, w + 2 * padding[1] - c - columns, stride - 1)]
        spread.append(lax.pad(share, zero, [(0, 0, 0), *edges, (0, 0, 0)]))
    return reduce(jnp.add, spread)[:, padding[0] : padding[0] + h, padding[1] : padding[1] + w], kernel_bar


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
