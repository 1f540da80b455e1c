"""Convolution of maps in numpy, by its definition: the reference of conv2d, depthwise_conv and their derivatives."""

import numpy as np


def same_pads(size, kernel, stride):
    """TensorFlow's SAME: ceil(size / stride) outputs, the odd pixel of padding behind the map."""
    totals = [max((-(-n // stride) - 1) * stride + k - n, 0) for n, k in zip(size, kernel, strict=True)]
    return [(total // 2, total - total // 2) for total in totals]


def convolve(x, kernel, stride=1, padding=((0, 0), (0, 0))):
    """Cross-correlation of x (n, h, w, i) with a kernel (kh, kw, i / groups, o), or of each channel with (k, k, c)."""
    x, kernel = np.asarray(x, np.float64), np.asarray(kernel, np.float64)
    kernel = kernel[:, :, None] if kernel.ndim == 3 else kernel
    kh, kw, inputs, outputs = kernel.shape
    groups = x.shape[-1] // inputs
    x = np.pad(x, ((0, 0), *padding, (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (kh, kw), (1, 2))[:, ::stride, ::stride]
    windows = windows.reshape(*windows.shape[:3], groups, inputs, kh, kw)
    by_group = kernel.reshape(kh, kw, inputs, groups, outputs // groups)
    y = np.einsum("nhwgiab,abigo->nhwgo", windows, by_group)
    return y.reshape(*y.shape[:3], outputs)
