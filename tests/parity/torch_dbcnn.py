"""An independent SCNN and DBCNN in PyTorch with the release's parameter names, and A-DB's way of putting blocks in."""

import torch
from parity.torch_vgg import STAGES, all_maps, features
from torch import nn

SCNN_WIDTHS = (48, 48, 64, 64, 64, 64, 128, 128, 128)
STRIDED = (2, 4, 6, 9)


def scnn_features(widths, batch_norm):
    layers, inputs = [], 3
    for number, width in enumerate(widths, start=1):
        layers.append(nn.Conv2d(inputs, width, 3, 2 if number in STRIDED else 1, 1))
        layers += [nn.BatchNorm2d(width), nn.ReLU()] if batch_norm else [nn.ReLU()]
        inputs = width
    return nn.Sequential(*layers)


class TorchSCNN(nn.Module):
    def __init__(self, widths=SCNN_WIDTHS, batch_norm=True):
        super().__init__()
        self.features = scnn_features(widths, batch_norm)
        self.projection = nn.Sequential(
            *(nn.Conv2d(widths[-1], 256, 1), nn.BatchNorm2d(256), nn.ReLU()),
            *(nn.Conv2d(256, 256, 1), nn.BatchNorm2d(256), nn.ReLU()),
        )
        self.classifier = nn.Linear(256, 39)

    def forward(self, x):
        maps = all_maps(self.features, x)
        return maps, self.classifier(self.projection(maps[-1].mean((2, 3), keepdim=True)).flatten(1))


class CayleyConv(nn.Conv2d):
    """Cayley transform of the full spectrum at every frequency; the kernel scaled by the norm of half the spectrum."""

    def __init__(self, inputs, outputs):
        super().__init__(inputs, outputs, 3, padding=1)
        self.alpha = nn.Parameter(torch.tensor(1.3, dtype=torch.float64))

    def forward(self, x):
        h, w = x.shape[2:]
        padded = torch.zeros(*self.weight.shape[:2], h, w, dtype=x.dtype)
        for r in range(3):
            for c in range(3):
                padded[:, :, (r - 1) % h, (c - 1) % w] += self.weight[:, :, r, c]
        spectrum = torch.fft.fft2(padded).conj().permute(2, 3, 0, 1)
        spectrum = self.alpha * spectrum / torch.linalg.norm(spectrum[:, : w // 2 + 1])
        inputs = spectrum.shape[-1]
        u, v = spectrum[..., :inputs, :], spectrum[..., inputs:, :]
        a = u - u.mH + v.mH @ v
        eye = torch.eye(inputs, dtype=a.dtype)
        inverse = torch.linalg.inv(eye + a)
        q = torch.cat([inverse @ (eye - a), -2 * v @ inverse], dim=-2)
        y = torch.einsum("hwoi,nihw->nohw", q, torch.fft.fft2(x).to(q.dtype))
        return torch.fft.ifft2(y).real + self.bias[:, None, None]


class Block(nn.Module):
    """Max-pool a landscape map to a square, unpadded convolution, Cayley convolution."""

    def __init__(self, channels, middle):
        super().__init__()
        self.conv_in = nn.Conv2d(channels, middle, 3)
        self.conv_cayley = CayleyConv(middle, channels)

    def forward(self, x):
        h, w = x.shape[2:]
        if w > h:
            side = -int(-0.02 * h // 1) + 1
            x = nn.functional.max_pool2d(x, (side, side + w - h), 1)
        return self.conv_cayley(self.conv_in(x))


class TorchDBCNN(nn.Module):
    """flag: None, or A-DB's option that puts blocks in: "cayley", "cayley2", "cayley3" or "cayley4"."""

    def __init__(self, stages=STAGES, scnn_widths=SCNN_WIDTHS, batch_norm=True, flag=None, middle=4):
        super().__init__()
        self.features1 = features(stages)[:-1]
        self.features2 = scnn_features(scnn_widths, batch_norm)
        if flag:
            last, width = (2, stages[4][0]) if flag in ("cayley", "cayley2") else (6, stages[3][0])
            self.cayley = Block(width, middle)
            self.features1 = nn.Sequential(*self.features1[:-last], self.cayley, *self.features1[-last:])
        if flag in ("cayley2", "cayley4"):
            last, width = (3, scnn_widths[7]) if flag == "cayley2" else (9, scnn_widths[5])
            setattr(self, flag, Block(width, middle))
            self.features2 = nn.Sequential(*self.features2[:-last], getattr(self, flag), *self.features2[-last:])
        self.fc = nn.Linear(stages[-1][0] * scnn_widths[-1], 1)

    def forward(self, x):
        a, b = self.features1(x), self.features2(x)
        b = nn.functional.interpolate(b, a.shape[2:], mode="bilinear", align_corners=True)
        products = torch.stack([(p.flatten(1) @ q.flatten(1).T).flatten() for p, q in zip(a, b, strict=True)])
        roots = torch.sqrt(products / a[0, 0].numel() + 1e-8)
        return a, b, self.fc(roots / torch.linalg.vector_norm(roots, dim=1, keepdim=True))


class Normalised(nn.Module):
    """A-DB's model: a normalisation with stored mean and std before the network."""

    def __init__(self, model):
        super().__init__()
        self.normalize = nn.Module()
        self.normalize.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.normalize.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))
        self.model = model
