"""The orthogonal constructions in float64 numpy the explicit way: the matrix of every frequency, formed and applied.
Independent of the library: full FFTs, numpy's inverses, no chains, no lag matrices (sources: docs/sources.md)."""

import explicit_cayley
import numpy as np


def cayley_matrix(free):
    """Semi-orthogonal (in, out) of a free (in, out), by the explicit Q of arXiv 2104.07167 at one frequency."""
    free = np.asarray(free, np.float64)
    if free.shape[0] > free.shape[1]:
        return cayley_matrix(free.T).T
    u, v = free[:, : len(free)].T, free[:, len(free) :].T
    a, eye = u - u.T + v.T @ v, np.eye(len(u))
    inverse = np.linalg.inv(eye + a)
    return np.concatenate([inverse @ (eye - a), -2 * v @ inverse]).T


def bcop_spectrum(free, size, taps):
    """Q(f) (H, W, out, in): a product of one matrix a projector pair, 1 - P + P exp(i theta), and of the pointwise."""
    rows, columns = np.meshgrid(*(2 * np.pi * np.arange(side) / side for side in size), indexing="ij")
    matrix = cayley_matrix(free["kernel"][0, 0]).T
    side = min(matrix.shape)
    square, pair = np.broadcast_to(np.eye(side), (*size, side, side)), 0
    for angle, count in zip((rows, columns), taps, strict=True):
        for step in range(count - 1):
            basis = cayley_matrix(free["bases"][pair])
            projector, sign = basis @ basis.T, -1 if (count - step) % 2 else 1
            moved = np.exp(1j * sign * angle)[..., None, None]
            square, pair = (np.eye(side) - projector + moved * projector) @ square, pair + 1
    return matrix @ square if matrix.shape[0] >= matrix.shape[1] else square @ matrix


def bro_spectrum(free, size, channels, features):
    """Q(f) = the first columns and rows of I - 2 V (V^H V)^-1 V^H (arXiv 2505.15174)."""
    v = explicit_cayley.spectrum(free["kernel"], size)
    adjoint = np.conj(v).swapaxes(-1, -2)
    return (np.eye(v.shape[-2]) - 2 * v @ np.linalg.inv(adjoint @ v) @ adjoint)[..., :features, :channels]


def aol_bound(kernel, weights):
    """sum_j |(V * V)_ij| q_j / q_i over all shifts, pair of taps by pair of taps (arXiv 2208.03160; 2303.03169)."""
    kernel = np.asarray(kernel, np.float64)
    (kh, kw, channels), products = kernel.shape[:3], {}
    taps = [(r, c) for r in range(kh) for c in range(kw)]
    for one in taps:
        for other in taps:
            shift = (other[0] - one[0], other[1] - one[1])
            products[shift] = products.get(shift, np.zeros((channels, channels))) + kernel[one] @ kernel[other].T
    return sum(np.abs(p) @ weights for p in products.values()) / weights


def aol_spectrum(free, size):
    """Q(f) = W(f) T^-1/2, of the transpose where there are fewer outputs."""
    kernel = np.asarray(free["kernel"], np.float64)
    narrow = kernel.shape[2] > kernel.shape[3]
    tall = kernel.swapaxes(2, 3) if narrow else kernel
    tall = tall / np.sqrt(aol_bound(tall, np.ones(tall.shape[2])))[:, None]
    return explicit_cayley.spectrum(tall.swapaxes(2, 3) if narrow else tall, size)


def sll(x, free, features):
    """x - 2 W T^-1 relu(W^T x + b) with zero channels before and dropped ones behind (arXiv 2303.03169)."""
    w, q = explicit_cayley.spectrum(free["kernel"], x.shape[1:3]), np.exp(np.asarray(free["log_weights"], np.float64))
    channels = x.shape[-1]
    hidden = apply(np.conj(w).swapaxes(-1, -2)[..., :channels], x) + np.asarray(free["inner_bias"], np.float64)
    hidden = np.maximum(hidden, 0) / aol_bound(free["kernel"], q)
    missing = max(0, features - channels)
    return np.pad(x[..., :features], ((0, 0),) * 3 + ((0, missing),)) - 2 * apply(w[..., :features, :], hidden)


def apply(spectrum, x):
    """y (n, H, W, out) of Q(f) (H, W, out, in)."""
    y = np.fft.ifft2(np.einsum("hwoi,nhwi->nhwo", spectrum, np.fft.fft2(x, axes=(1, 2))), axes=(1, 2))
    assert np.abs(y.imag).max() < 1e-9 * (1 + np.abs(y.real).max())
    return y.real


def convolve(name, x, free, features, taps):
    """y of one of layers.CONVOLUTIONS without bias."""
    x, size = np.asarray(x, np.float64), x.shape[1:3]
    if name == "sll":
        return sll(x, free, features)
    if name == "bcop":
        return apply(bcop_spectrum(free, size, taps), x)
    if name == "bro":
        return apply(bro_spectrum(free, size, x.shape[-1], features), x)
    return apply(aol_spectrum(free, size), x)
