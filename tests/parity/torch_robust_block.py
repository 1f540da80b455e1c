"""An independent RobustBlock in PyTorch: Q explicit for every frequency, odd sizes restored (docs/sources.md 1.1, 1.2).
Parameter names are the authors': conv_in, conv_cayley.weight, conv_cayley.bias, conv_cayley.alpha."""

import math

import torch
from torch import nn


class TorchCayleyConv(nn.Module):
    def __init__(self, inputs, outputs, alpha):
        super().__init__()
        assert outputs >= inputs
        bound = 1 / math.sqrt(9 * inputs)
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 3, 3, dtype=torch.float64).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(outputs, dtype=torch.float64).uniform_(-bound, bound))
        self.alpha = nn.Parameter(torch.tensor(alpha, dtype=torch.float64))

    def orthogonal(self, height, width):
        spectrum = 0
        rows, columns = (torch.arange(n, dtype=torch.float64) for n in (height, width // 2 + 1))
        for r in range(3):
            for c in range(3):
                turns = (r - 1) * rows[:, None] / height + (c - 1) * columns / width
                phase = torch.polar(torch.ones_like(turns), 2 * math.pi * turns)
                spectrum = spectrum + phase[:, :, None, None] * self.weight[:, :, r, c]
        spectrum = self.alpha * spectrum / torch.linalg.vector_norm(spectrum)
        side = self.weight.shape[1]
        top, bottom = spectrum[..., :side, :], spectrum[..., side:, :]
        a = top - top.mH + bottom.mH @ bottom
        eye = torch.eye(side, dtype=a.dtype)
        inverse = torch.linalg.inv(eye + a)
        return torch.cat([inverse @ (eye - a), -2 * bottom @ inverse], dim=-2)

    def forward(self, x):
        height, width = x.shape[2:]
        q = self.orthogonal(height, width)
        y = torch.einsum("hwoi,nihw->nohw", q, torch.fft.rfft2(x.double()))
        return torch.fft.irfft2(y, s=(height, width)).to(x.dtype) + self.bias[:, None, None]


class TorchRobustBlock(nn.Module):
    def __init__(self, channels, mid, padding=0, alpha=30.0):
        super().__init__()
        self.conv_in = nn.Conv2d(channels, mid, 3, padding=padding)
        self.conv_cayley = TorchCayleyConv(mid, channels, alpha)

    def forward(self, x):
        height, width = x.shape[2:]
        if width > height:
            u = math.ceil(0.02 * height) + 1
            x = nn.functional.max_pool2d(x, (u, u + width - height), stride=1)
        return self.conv_cayley(self.conv_in(x))
