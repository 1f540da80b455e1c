"""An independent ResNet in PyTorch, from the architecture's description, with torchvision's parameter names."""

import torch
from torch import nn

LAYERS = {
    "resnet18": ((2, 2, 2, 2), 0, 64, 1),
    "resnet34": ((3, 4, 6, 3), 0, 64, 1),
    "resnet50": ((3, 4, 6, 3), 1, 64, 1),
    "resnet101": ((3, 4, 23, 3), 1, 64, 1),
    "wide_resnet50_2": ((3, 4, 6, 3), 1, 128, 1),
    "resnext101_32x8d": ((3, 4, 23, 3), 1, 8, 32),
}


class Unit(nn.Module):
    def __init__(self, inputs, planes, stride, deep, base, groups):
        super().__init__()
        width = int(planes * base / 64) * groups
        outputs = planes * (4 if deep else 1)
        shapes = (
            [(inputs, width, 1, 1, 1), (width, width, 3, stride, groups), (width, outputs, 1, 1, 1)]
            if deep
            else [(inputs, planes, 3, stride, 1), (planes, planes, 3, 1, 1)]
        )
        self.count = len(shapes)
        for i, (a, b, k, s, g) in enumerate(shapes, start=1):
            setattr(self, f"conv{i}", nn.Conv2d(a, b, k, s, k // 2, groups=g, bias=False))
            setattr(self, f"bn{i}", nn.BatchNorm2d(b))
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = x
        for i in range(1, self.count + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            y = torch.relu(y) if i < self.count else y
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class TorchResNet(nn.Module):
    def __init__(self, name):
        super().__init__()
        counts, deep, base, groups = LAYERS[name]
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        self.pool, channels = nn.MaxPool2d(3, 2, 1), 64
        for layer, count in enumerate(counts, start=1):
            planes, units = 64 * 2 ** (layer - 1), []
            for unit in range(count):
                stride = 2 if unit == 0 and layer > 1 else 1
                units.append(Unit(channels, planes, stride, deep, base, groups))
                channels = planes * (4 if deep else 1)
            setattr(self, f"layer{layer}", nn.Sequential(*units))
        self.fc = nn.Linear(channels, 1000)

    def forward(self, x):
        maps = {"stem": self.pool(torch.relu(self.bn1(self.conv1(x))))}
        x = maps["stem"]
        for layer in range(1, 5):
            x = maps[f"layer{layer}"] = getattr(self, f"layer{layer}")(x)
        maps["logits"] = self.fc(x.mean((2, 3)))
        return maps
