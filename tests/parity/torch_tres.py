"""An independent TReS in PyTorch, from its description (docs/sources.md 2.3), with the release's names; no dropout."""

import math

import torch
from parity.torch_resnet import TorchResNet
from parity.torch_robust_block import TorchRobustBlock
from torch import nn


class Backbone(TorchResNet):
    def __init__(self, name, mid):
        super().__init__(name)
        if mid is not None:
            self.cayley = TorchRobustBlock(self.fc.in_features // 2, mid, padding=1)

    def forward(self, x):
        x, maps = self.pool(torch.relu(self.bn1(self.conv1(x)))), []
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            if layer is self.layer3 and hasattr(self, "cayley"):
                x = self.cayley(x)
            maps.append(x)
        return maps


class Hann(nn.Module):
    def __init__(self, channels):
        super().__init__()
        window = torch.hann_window(5, periodic=False, dtype=torch.float64)[1:-1]
        window = torch.outer(window, window)
        self.register_buffer("filter", (window / window.sum()).expand(channels, 1, 3, 3).clone())

    def forward(self, x):
        return (nn.functional.conv2d(x**2, self.filter, padding=1, groups=x.shape[1]) + 1e-12).sqrt()


class Layer(nn.Module):
    def __init__(self, d, heads, hidden):
        super().__init__()
        self.self_attn = nn.MultiheadAttention(d, heads)
        self.linear1, self.linear2 = nn.Linear(d, hidden), nn.Linear(hidden, d)
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)

    def forward(self, x, positions):
        y = self.norm1(x)
        x = x + self.self_attn(y + positions, y + positions, y, need_weights=False)[0]
        return x + self.linear2(torch.relu(self.linear1(self.norm2(x))))


class Encoder(nn.Module):
    def __init__(self, d, heads, hidden, layers):
        super().__init__()
        self.layers = nn.ModuleList([Layer(d, heads, hidden) for _ in range(layers)])
        self.norm = nn.LayerNorm(d)


def positions(height, width, features):
    table = torch.zeros(height, width, features, dtype=torch.float64)
    m = features // 2
    for r in range(height):
        for c in range(width):
            for start, index, count in ((0, r, height), (m, c, width)):
                angle = 2 * math.pi * (index + 1) / (count + 1e-6)
                for i in range(m):
                    wave = math.cos if i % 2 else math.sin
                    table[r, c, start + i] = wave(angle / 10000 ** (2 * (i // 2) / m))
    return table


class TorchTReS(nn.Module):
    def __init__(self, name, mid=None, heads=16, layers=2):
        super().__init__()
        self.model = Backbone(name, mid)
        last = self.model.fc.in_features
        channels = [last // 8, last // 4, last // 2, last]
        for i, count in enumerate(channels, start=1):
            setattr(self, f"L2pooling_l{i}", Hann(count))
        d = sum(channels)
        self.transformer = nn.Module()
        self.transformer.encoder = Encoder(d, heads, 64, layers)
        self.fc2, self.fc = nn.Linear(d, last), nn.Linear(2 * last, 1)

    def forward(self, x):
        maps = self.model(x)
        pooled = []
        for i, (y, side) in enumerate(zip(maps, (8, 4, 2, 1), strict=True), start=1):
            y = getattr(self, f"L2pooling_l{i}")(nn.functional.normalize(y, dim=1))
            pooled.append(nn.functional.avg_pool2d(y, side))
        pooled = torch.cat(pooled, dim=1)
        n, d, height, width = pooled.shape
        tokens = pooled.flatten(2).permute(2, 0, 1)
        where = positions(height, width, d).reshape(-1, 1, d).to(x.dtype)
        for layer in self.transformer.encoder.layers:
            tokens = layer(tokens, where)
        tokens = self.transformer.encoder.norm(tokens)
        score = self.fc(torch.cat([self.fc2(tokens.mean(0)), maps[-1].mean((2, 3))], dim=1))
        return {"score": score, "pooled": pooled, "encoded": tokens.permute(1, 2, 0).reshape(n, d, height, width),
                "layer4": maps[-1]}  # fmt: skip
