"""An independent LinearityIQA in PyTorch, from its description (sources.md 2.1), with the public release's names."""

import torch
from parity.torch_resnet import TorchResNet
from parity.torch_robust_block import TorchRobustBlock
from torch import nn
from torch.nn.functional import avg_pool2d, max_pool2d


def pyramid(x, levels, kind):
    parts = []
    for p in range(1, levels + 1):
        window = (x.shape[2] // p, x.shape[3] // p)
        if kind == "avg":
            parts.append(avg_pool2d(x, window).flatten(1))
        else:  # maxima of all channels, then minima
            parts += [max_pool2d(x, window).flatten(1), -max_pool2d(-x, window).flatten(1)]
    return torch.cat(parts, dim=1)


def reduction(features):
    layers = []
    for a, b in ((features, 1024), (1024, 256), (256, 64)):
        layers += [nn.Linear(a, b), nn.BatchNorm1d(b)]
    return nn.Sequential(*layers, nn.ReLU())


class TorchLinearityIQA(nn.Module):
    def __init__(self, name, levels=1, kind="avg", mid=None):
        super().__init__()
        net = TorchResNet(name)
        stem = [net.conv1, net.bn1, nn.ReLU(), net.pool]
        self.features = nn.Sequential(*stem, net.layer1, net.layer2, net.layer3, net.layer4)
        channels, self.levels, self.kind = net.fc.in_features, levels, kind
        if mid is not None:
            self.cayley_block6 = TorchRobustBlock(channels // 2, mid)
        windows = sum(p * p for p in range(1, levels + 1)) * (1 if kind == "avg" else 2)
        self.dr6, self.dr7 = reduction(channels // 2 * windows), reduction(channels * windows)
        self.regr6, self.regr7, self.regression = nn.Linear(64, 1), nn.Linear(64, 1), nn.Linear(128, 1)

    def forward(self, x):
        third = self.features[:7](x)
        if hasattr(self, "cayley_block6"):
            third = self.cayley_block6(third)
        fourth = self.features[7](third)
        a = self.dr6(pyramid(third, self.levels, self.kind))
        b = self.dr7(pyramid(fourth, self.levels, self.kind))
        scores = torch.cat([self.regr6(a), self.regr7(b), self.regression(torch.cat([a, b], dim=1))], dim=1)
        return scores, {"layer3": third, "layer4": fourth}
