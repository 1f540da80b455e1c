"""An independent Inception-ResNet-v2 in PyTorch, from the architecture's description, with Cadene's parameter names.

A chain is written as its layers: "96" is 96 filters of 1x1, "64k5" of 5x5 at the same size, "384k3s2" of 3x3 with
stride 2 and no padding, "160k1x7" of one row and seven columns; "avg" and "max" are poolings.
"""

import torch
from torch import nn

MAPS = {
    "conv2d_1a": "32k3s2", "conv2d_2a": "32k3v", "conv2d_2b": "64k3", "maxpool_3a": "max", "conv2d_3b": "80",
    "conv2d_4a": "192k3v", "maxpool_5a": "max",
    "mixed_5b": ["96", "48 64k5", "64 96k3 96k3", "avg 64"],
    "repeat": (0, ["32", "32 32k3", "32 48k3 64k3"], 320, 0.17),
    "mixed_6a": ["384k3s2", "256 256k3 384k3s2", "max"],
    "repeat_1": (1, ["192", "128 160k1x7 192k7x1"], 1088, 0.1),
    "mixed_7a": ["256 384k3s2", "256 288k3s2", "256 288k3 320k3s2", "max"],
    "repeat_2": (2, ["192", "192 224k1x3 256k3x1"], 2080, 0.2),
    "block8": (None, ["192", "192 224k1x3 256k3x1"], 2080, 1.0),
    "conv2d_7b": "1536",
}  # fmt: skip


class Unit(nn.Module):
    def __init__(self, inputs, text):
        super().__init__()
        filters, _, shape = text.partition("k")
        valid = shape.endswith(("v", "s2"))
        stride = 2 if shape.endswith("s2") else 1
        sides = [int(side) for side in (shape.removesuffix("v").removesuffix("s2") or "1").split("x")]
        sides = sides * 2 if len(sides) == 1 else sides
        padding = 0 if valid else [side // 2 for side in sides]
        self.outputs = int(filters)
        self.conv = nn.Conv2d(inputs, self.outputs, sides, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(self.outputs, eps=0.001)

    def forward(self, x):
        return torch.relu(self.bn(self.conv(x)))


def layer(inputs, text):
    """A layer and its outputs."""
    if text == "max":
        return nn.MaxPool2d(3, 2), inputs
    if text == "avg":
        return nn.AvgPool2d(3, 1, 1, count_include_pad=False), inputs
    unit = Unit(inputs, text)
    return unit, unit.outputs


class Side(nn.Module):
    """Chains side by side; with a scale, added to the input."""

    def __init__(self, inputs, chains, scale=None, last=False):
        super().__init__()
        self.count, self.scale, self.last, self.outputs = len(chains), scale, last, 0
        for index, chain in enumerate(chains):
            layers, channels = [], inputs
            for text in chain.split():
                one, channels = layer(channels, text)
                layers.append(one)
            setattr(self, f"branch{index}", layers[0] if len(layers) == 1 else nn.Sequential(*layers))
            self.outputs += channels
        if scale is not None:
            self.conv2d = nn.Conv2d(self.outputs, inputs, 1)

    def forward(self, x):
        y = torch.cat([getattr(self, f"branch{index}")(x) for index in range(self.count)], 1)
        if self.scale is None:
            return y
        y = x + self.scale * self.conv2d(y)
        return y if self.last else torch.relu(y)


def steps(blocks):
    """Name and module of every step of a network with so many blocks."""
    channels = 3
    for name, what in MAPS.items():
        if isinstance(what, str):
            module, channels = layer(channels, what)
        elif isinstance(what, list):
            module = Side(channels, what)
            channels = module.outputs
        else:
            which, chains, channels, scale = what
            if which is None:
                module = Side(channels, chains, scale, last=True)
            else:
                module = nn.Sequential(*(Side(channels, chains, scale) for _ in range(blocks[which])))
        yield name, module


class TorchInceptionResNetV2(nn.Module):
    def __init__(self, blocks, classes=1001):
        super().__init__()
        for name, module in steps(blocks):
            self.add_module(name, module)
        self.last_linear = nn.Linear(1536, classes)

    def forward(self, x):
        maps = {}
        for name in MAPS:
            x = maps[name] = getattr(self, name)(x)
        maps["logits"] = self.last_linear(x.mean((2, 3)))
        return maps
