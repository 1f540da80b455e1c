"""An independent KonCept512 in PyTorch with koniq-PyTorch's parameter names, and its RobustBlock with KonCept_dali's.

The Cayley convolution is written as it is defined: an orthogonal matrix for every frequency.
"""

import math

import torch
from parity.torch_inception_resnet_v2 import steps
from torch import nn


class Cayley(nn.Conv2d):
    def __init__(self, inputs, outputs):
        super().__init__(inputs, outputs, 3)
        self.alpha = nn.Parameter(torch.tensor(1.0, dtype=torch.float64))

    def forward(self, x):
        side, inputs = x.shape[-1], self.in_channels
        shift = torch.arange(side, dtype=x.dtype)
        shift = torch.exp(-2j * math.pi * (shift[:, None] + shift[None, : side // 2 + 1]) / side)
        spectrum = (torch.fft.rfft2(self.weight, (side, side)).conj() * shift).permute(2, 3, 0, 1)
        w = self.alpha * spectrum / spectrum.norm()
        u, v = w[..., :inputs, :], w[..., inputs:, :]
        eye = torch.eye(inputs, dtype=w.dtype)
        a = u - u.mH + v.mH @ v
        inverse = torch.linalg.inv(eye + a)
        q = torch.cat([inverse @ (eye - a), -2 * v @ inverse], -2)
        y = torch.einsum("hwoi,nihw->nohw", q, torch.fft.rfft2(x))
        return torch.fft.irfft2(y, (side, side)) + self.bias[:, None, None]


class Block(nn.Module):
    """Landscape maps only."""

    def __init__(self, channels, middle):
        super().__init__()
        self.conv_in = nn.Conv2d(channels, middle, 3)
        self.conv_cayley = Cayley(middle, channels)

    def forward(self, x):
        height, width = x.shape[2:]
        assert width > height
        up = math.ceil(0.02 * height) + 1
        return self.conv_cayley(self.conv_in(nn.functional.max_pool2d(x, (up, up + width - height), 1)))


class TorchKonCept512(nn.Module):
    def __init__(self, blocks, middle=None, block_index=14, window=None):
        super().__init__()
        names, modules = zip(*steps(blocks), strict=True)
        self.names, modules, self.window = list(names), list(modules), window
        self.base = nn.Sequential()
        if middle is not None:
            self.cayley2 = Block(modules[block_index].conv.in_channels, middle)
            modules.insert(block_index, self.cayley2)
            self.names.insert(block_index, "cayley2")
        self.base = nn.Sequential(*modules)
        layers = []
        for inputs, outputs in ((1536, 2048), (2048, 1024), (1024, 256)):
            layers += [nn.Linear(inputs, outputs), nn.ReLU(), nn.BatchNorm1d(outputs), nn.Identity()]  # without dropout
        self.fc = nn.Sequential(*layers, nn.Linear(256, 1))

    def forward(self, x, start=None):
        """Maps behind `start`, which x is, and the score."""
        maps, first = {}, 0 if start is None else self.names.index(start) + 1
        for name, module in list(zip(self.names, self.base, strict=True))[first:]:
            x = module(x)
            maps[list(maps)[-1] if name == "cayley2" else name] = x  # the block replaces the map before it
        if self.window is not None:
            x = nn.functional.avg_pool2d(x, self.window)
        return maps, self.fc(x.mean((2, 3)))


def random_koncept512(*args, **kwargs):
    """In float64, with running statistics and scales that are not those of an untrained network."""
    torch.manual_seed(0)
    model = TorchKonCept512(*args, **kwargs).double()
    randomise(model)
    return model


def randomise(model):
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
        if isinstance(module, Cayley):
            nn.init.constant_(module.alpha, 7.0)  # 1.0 is close to copying the first channels
