"""An independent VGG-16 in PyTorch, from the architecture's description, with torchvision's parameter names."""

import torch
from torch import nn

STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


def features(stages=STAGES):
    layers, inputs = [], 3
    for width, count in stages:
        for _ in range(count):
            layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU()]
            inputs = width
        layers.append(nn.MaxPool2d(2, 2))
    return nn.Sequential(*layers)


def all_maps(sequence, x, kept=(nn.ReLU, nn.MaxPool2d)):
    maps = []
    for module in sequence:
        x = module(x)
        if isinstance(module, kept):
            maps.append(x)
    return maps


class TorchVGG(nn.Module):
    def __init__(self, stages=STAGES, hidden=4096):
        super().__init__()
        self.features = features(stages)
        self.classifier = nn.Sequential(
            nn.Linear(stages[-1][0] * 49, hidden),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(hidden, 1000),
        )

    def forward(self, x):
        maps = all_maps(self.features, x)
        return maps, self.classifier(torch.flatten(nn.functional.adaptive_avg_pool2d(maps[-1], 7), 1))
