"""An independent MUSIQ in PyTorch, from its description, over tensors with the names and shapes of the published files.

Pictures are resized pixel by pixel, patches unfolded, and the copies' tokens filled up and masked, as published.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F


def published_shapes(copies=2, stem=64, channels=384, layers=14, heads=6, hidden=1152, outputs=1):
    """Name in the published file -> shape."""
    shapes = {"conv_root/kernel": (7, 7, 3, stem)}
    convolutions = {"conv1": (1, stem, stem), "conv2": (3, stem, stem), "conv3": (1, stem, 4 * stem)}
    convolutions["conv_proj"] = (1, stem, 4 * stem)
    norms = {"gn_root": stem}
    for name, (side, inputs, features) in convolutions.items():
        shapes[f"block1/unit1/{name}/kernel"] = (side, side, inputs, features)
        norms[f"block1/unit1/{name.replace('conv', 'gn')}"] = features
    for name, features in norms.items():
        shapes |= {f"{name}/{leaf}": (1, 1, 1, features) for leaf in ("scale", "bias")}
    shapes |= {"embedding/kernel": (8 * 8 * 4 * stem, channels), "embedding/bias": (channels,)}
    shapes["Transformer/posembed_input/pos_embedding"] = (1, 100, channels)
    shapes["Transformer/scaleembed_input/scale_embedding"] = (1, copies + 1, channels)
    shapes["Transformer/cls"] = (1, 1, channels)
    names = ["Transformer/encoder_norm"]
    for i in range(layers):
        layer = f"Transformer/encoderblock_{i}"
        names += [f"{layer}/LayerNorm_0", f"{layer}/LayerNorm_2"]
        for name in ("query", "key", "value"):
            part = f"{layer}/MultiHeadDotProductAttention_1/{name}"
            shapes |= {f"{part}/kernel": (channels, heads, channels // heads)}
            shapes |= {f"{part}/bias": (heads, channels // heads)}
        part = f"{layer}/MultiHeadDotProductAttention_1/out"
        shapes |= {f"{part}/kernel": (heads, channels // heads, channels), f"{part}/bias": (channels,)}
        for name, sizes in (("Dense_0", (channels, hidden)), ("Dense_1", (hidden, channels))):
            shapes |= {f"{layer}/MlpBlock_3/{name}/kernel": sizes, f"{layer}/MlpBlock_3/{name}/bias": sizes[1:]}
    shapes |= {f"{name}/{leaf}": (channels,) for name in names for leaf in ("scale", "bias")}
    return shapes | {"head/kernel": (channels, outputs), "head/bias": (outputs,)}


def random_tensors(shapes, seed=0):
    """float64 arrays: kernels that keep the size of what they are applied to, scales around one, others small."""
    rng = np.random.default_rng(seed)

    def draw(name, shape):
        if name.endswith("kernel"):
            outputs = math.prod(shape[1:]) if len(shape) == 3 and "/out/" not in name else shape[-1]
            return rng.normal(0, (outputs / math.prod(shape)) ** 0.5, shape)
        if name.endswith("scale"):
            return rng.uniform(0.5, 1.5, shape)
        return rng.normal(0, 0.3, shape)

    return {name: draw(name, shape) for name, shape in shapes.items()}


def resized_line(line, count):
    """The first axis of a tensor at another length, by TensorFlow's Gaussian kernel of radius 1.5."""
    rows = []
    for i in range(count):
        centre = (i + 0.5) * len(line) / count
        first, last = math.ceil(centre - 2), math.floor(centre + 1)
        near = range(max(0, first), min(len(line) - 1, last) + 1)
        weights = [math.exp(-(((j + 0.5 - centre) / 0.5) ** 2) / 2) * (abs(j + 0.5 - centre) < 1.5) for j in near]
        rows.append(sum(w * line[j] for w, j in zip(weights, near, strict=True)) / sum(weights))
    return torch.stack(rows)


def copy_of(image, longer):
    """An image (h, w, 3) whose longer side is as long as this."""
    h, w, _ = image.shape
    size = (round(h * longer / max(h, w)), round(w * longer / max(h, w)))
    return resized_line(resized_line(image, size[0]).transpose(0, 1), size[1]).transpose(0, 1)


def patches_of(image, most):
    """Patches (count, 3, 32, 32) of an image, their places on the grid of ten, and which of them are no filling."""
    h, w, _ = image.shape
    down, across = -h % 32, -w % 32
    padded = F.pad(image.permute(2, 0, 1)[None], (across // 2, across - across // 2, down // 2, down - down // 2))
    patches = F.unfold(padded, 32, stride=32)[0].T.reshape(-1, 3, 32, 32)
    rows, columns = math.ceil(h / 32), math.ceil(w / 32)
    places = torch.tensor([10 * (i * 10 // rows) + j * 10 // columns for i in range(rows) for j in range(columns)])
    most = most or len(patches)
    filling = most - len(patches)
    real = torch.arange(most) < len(patches)
    return F.pad(patches, (0, 0) * 3 + (0, filling)), F.pad(places, (0, filling)), real


class TorchMUSIQ:
    """Over tensors under the published names, without "opt/target/"; `copies` are the longer sides of the copies."""

    def __init__(self, tensors, copies=(224, 384)):
        self.tensors, self.copies = {name: torch.as_tensor(array) for name, array in tensors.items()}, copies
        self.layers = sum(name.endswith("LayerNorm_0/scale") for name in tensors)

    def pair(self, name, leaf="kernel"):
        return self.tensors[f"{name}/{leaf}"], self.tensors[f"{name}/bias"]

    def conv(self, name, x, stride=1):
        kernel = self.tensors[f"{name}/kernel"].permute(3, 2, 0, 1)
        deviation, mean = torch.std_mean(kernel, (1, 2, 3), correction=0, keepdim=True)
        return F.conv2d(x, (kernel - mean) / (deviation + 1e-5), stride=stride, padding=kernel.shape[-1] // 2)

    def group_norm(self, name, x, epsilon=1e-4):
        scale, bias = self.pair(name, "scale")
        return F.group_norm(x, 32, scale.flatten(), bias.flatten(), epsilon)

    def layer_norm(self, name, x):
        scale, bias = self.pair(name, "scale")
        return F.layer_norm(x, scale.shape, scale, bias, 1e-6)

    def dense(self, name, x):
        kernel, bias = self.pair(name)
        return x @ kernel + bias

    def embedded(self, patches):
        """Patches (count, 3, 32, 32) -> (count, channels)."""
        # 'SAME' on an even side pads one more behind: a convolution of stride 1 with 3 on both sides, from the second
        x = self.conv("conv_root", patches)[:, :, 1::2, 1::2]
        x = F.pad(F.relu(self.group_norm("gn_root", x, 1e-6)), (0, 1, 0, 1), value=-math.inf)
        x = F.max_pool2d(x, 3, 2)
        unit = "block1/unit1"
        kept = self.group_norm(f"{unit}/gn_proj", self.conv(f"{unit}/conv_proj", x))
        for i in (1, 2, 3):
            x = self.group_norm(f"{unit}/gn{i}", self.conv(f"{unit}/conv{i}", x))
            x = F.relu(x) if i < 3 else F.relu(x + kept)
        return self.dense("embedding", x.permute(0, 2, 3, 1).flatten(1))

    def attention(self, name, x, allowed):
        parts = {}
        for part in ("query", "key", "value"):
            kernel, bias = self.pair(f"{name}/{part}")
            parts[part] = torch.einsum("tc,chd->htd", x, kernel) + bias[:, None]
        logits = parts["query"] @ parts["key"].transpose(1, 2) / math.sqrt(bias.shape[1])
        weights = logits.masked_fill(~(allowed[:, None] & allowed), -1e10).softmax(-1)
        kernel, bias = self.pair(f"{name}/out")
        return torch.einsum("htd,hdc->tc", weights @ parts["value"], kernel) + bias

    def __call__(self, image):
        """A normalised image (h, w, 3) -> tokens without filling (t, channels) by name, class token first from the
        layers on, and the outputs of the head."""
        scales = [(copy_of(image, longer), math.ceil(longer / 32) ** 2) for longer in self.copies] + [(image, 0)]
        cut = [patches_of(*scale) for scale in scales]
        patches, places, real = (torch.cat(parts) for parts in zip(*cut, strict=True))
        scale = torch.cat([torch.full_like(part, i) for i, (_, part, _) in enumerate(cut)])
        x = self.embedded(patches)
        maps = {"patches": x[real]}
        x = x + self.tensors["Transformer/posembed_input/pos_embedding"][0, places]
        x = x + self.tensors["Transformer/scaleembed_input/scale_embedding"][0, scale]
        maps["embed"] = x[real]
        x = torch.cat([self.tensors["Transformer/cls"][0], x])
        real = F.pad(real, (1, 0), value=True)
        for i in range(self.layers):
            layer = f"Transformer/encoderblock_{i}"
            x = x + self.attention(
                f"{layer}/MultiHeadDotProductAttention_1", self.layer_norm(f"{layer}/LayerNorm_0", x), real
            )
            hidden = F.gelu(
                self.dense(f"{layer}/MlpBlock_3/Dense_0", self.layer_norm(f"{layer}/LayerNorm_2", x)),
                approximate="tanh",
            )
            x = x + self.dense(f"{layer}/MlpBlock_3/Dense_1", hidden)
            maps[f"block{i}"] = x[real]
        maps["encoded"] = self.layer_norm("Transformer/encoder_norm", x[0])
        maps["outputs"] = self.dense("head", maps["encoded"])
        return maps
