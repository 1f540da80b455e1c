"""The Cayley convolution in float64 numpy the explicit way: pad, transform, build Q for every frequency, apply.
Independent of the library: full FFTs, no lag matrices, no factorisation (docs/sources.md 1.2)."""

import numpy as np


def spectrum(kernel, size):
    """W(f) on the full grid, (H, W, out, in): conj of the transform of taps wrapped around the origin."""
    kh, kw, ci, co = kernel.shape
    padded = np.zeros((*size, ci, co))
    for r in range(kh):
        for c in range(kw):
            padded[(r - (kh - 1) // 2) % size[0], (c - (kw - 1) // 2) % size[1]] += kernel[r, c]
    return np.conj(np.fft.fft2(padded, axes=(0, 1))).swapaxes(-1, -2)


def orthogonal_spectrum(kernel, alpha, size, norm):
    """Q(f) on the full grid, (H, W, out, in)."""
    w = spectrum(np.asarray(kernel, np.float64), size)
    length = np.linalg.norm(w[:, : size[1] // 2 + 1]) if norm == "spectrum" else np.linalg.norm(kernel)
    w = w * (alpha / length)
    narrow = w.shape[-2] < w.shape[-1]
    tall = w.swapaxes(-1, -2) if narrow else w
    side = tall.shape[-1]
    u, v = tall[..., :side, :], tall[..., side:, :]
    a = u - np.conj(u).swapaxes(-1, -2) + np.conj(v).swapaxes(-1, -2) @ v
    eye = np.eye(side)
    inverse = np.linalg.inv(eye + a)
    q = np.concatenate([inverse @ (eye - a), -2 * v @ inverse], axis=-2)
    return q.swapaxes(-1, -2) if narrow else q


def convolve(x, kernel, alpha, bias, norm):
    """y (n, H, W, out) float64."""
    q = orthogonal_spectrum(kernel, alpha, x.shape[1:3], norm)
    y = np.fft.ifft2(np.einsum("hwoi,nhwi->nhwo", q, np.fft.fft2(np.asarray(x, np.float64), axes=(1, 2))), axes=(1, 2))
    assert np.abs(y.imag).max() < 1e-9 * (1 + np.abs(y.real).max())
    return y.real + bias
