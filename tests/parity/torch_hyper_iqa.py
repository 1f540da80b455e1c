"""An independent HyperIQA in PyTorch, from the architecture's description, with the release's parameter names."""

import torch
from parity.torch_resnet import TorchResNet
from torch import nn

TARGET = (224, 112, 56, 28, 14, 1)


class Backbone(TorchResNet):
    def __init__(self, name):
        super().__init__(name)
        channels = self.fc.in_features
        del self.fc
        for i, (narrow, tiles) in enumerate(((16, 64), (32, 16), (64, 4)), start=1):
            conv = nn.Conv2d(channels // 2 ** (4 - i), narrow, 1, bias=False)
            setattr(self, f"lda{i}_pool", nn.Sequential(conv, nn.AvgPool2d(7)))
            setattr(self, f"lda{i}_fc", nn.Linear(narrow * tiles, 16))
        self.lda4_pool, self.lda4_fc = nn.AvgPool2d(7), nn.Linear(channels, 176)
        self.channels = channels

    def forward(self, x):
        x = self.pool(torch.relu(self.bn1(self.conv1(x))))
        parts = []
        for i in range(1, 5):
            x = getattr(self, f"layer{i}")(x)
            parts.append(getattr(self, f"lda{i}_fc")(getattr(self, f"lda{i}_pool")(x).flatten(1)))
        return x, torch.cat(parts, 1)


class TorchHyperIQA(nn.Module):
    def __init__(self, name="resnet50"):
        super().__init__()
        self.res = Backbone(name)
        self.conv1 = nn.Sequential(
            *(nn.Conv2d(self.res.channels, 1024, 1), nn.ReLU()),
            *(nn.Conv2d(1024, 512, 1), nn.ReLU()),
            *(nn.Conv2d(512, 112, 1), nn.ReLU()),
        )
        for i in range(1, 6):
            inputs, outputs = TARGET[i - 1], TARGET[i]
            if i < 5:
                setattr(self, f"fc{i}w_conv", nn.Conv2d(112, inputs * outputs // 49, 3, padding=1))
            else:
                self.fc5w_fc = nn.Linear(112, inputs)
            setattr(self, f"fc{i}b_fc", nn.Linear(112, outputs))

    def forward(self, x):
        """The local-distortion vector, the generated weights and biases, the scores."""
        x, vector = self.res(x)
        content = self.conv1(x)
        mean, n = content.mean((2, 3)), len(x)
        weights = [getattr(self, f"fc{i}w_conv")(content).reshape(n, TARGET[i], TARGET[i - 1]) for i in range(1, 5)]
        weights.append(self.fc5w_fc(mean)[:, None])
        biases = [getattr(self, f"fc{i}b_fc")(mean) for i in range(1, 6)]
        scores = []
        for k in range(n):
            q = vector[k]
            for i in range(5):
                q = nn.functional.linear(q, weights[i][k], biases[i][k])
                q = torch.sigmoid(q) if i < 4 else q
            scores.append(q)
        return vector, weights, biases, torch.stack(scores)
