"""An independent vision transformer in PyTorch, from the architecture's description, with timm's parameter names."""

import torch
import torch.nn.functional as F
from torch import nn

SIZES = {  # patch, image, channels, blocks, heads
    "vit_base_patch8_224": (8, 224, 768, 12, 12),
    "vit_base_patch16_224": (16, 224, 768, 12, 12),
    "vit_tiny_patch16_224": (16, 224, 192, 12, 3),
    "vit_test_patch8_64": (8, 64, 24, 4, 3),
}


def randomise(module):
    """Parameters of a network that has been trained for a while: no norm that does nothing, no bias of zero."""
    for name, parameter in module.named_parameters():
        if "norm" in name and name.endswith("weight"):
            nn.init.uniform_(parameter, 0.5, 1.5)
        elif parameter.ndim < 2 or "token" in name or "embed" in name or "table" in name:
            nn.init.normal_(parameter, 0, 0.2)
        else:
            nn.init.normal_(parameter, 0, 0.8 / parameter[0].numel() ** 0.5)


class Attention(nn.Module):
    def __init__(self, channels, heads):
        super().__init__()
        self.heads, self.qkv, self.proj = heads, nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)

    def forward(self, x):
        parts = self.qkv(x).chunk(3, dim=-1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    def __init__(self, channels, hidden):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(channels, hidden), nn.Linear(hidden, channels)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class Layer(nn.Module):
    def __init__(self, channels, heads):
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(channels, eps=1e-6), Attention(channels, heads)
        self.norm2, self.mlp = nn.LayerNorm(channels, eps=1e-6), Mlp(channels, 4 * channels)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
    def __init__(self, patch, channels):
        super().__init__()
        self.proj = nn.Conv2d(3, channels, patch, patch)


class TorchViT(nn.Module):
    def __init__(self, name):
        super().__init__()
        patch, image, channels, depth, heads = SIZES[name]
        self.grid = image // patch
        self.patch_embed = PatchEmbed(patch, channels)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, channels))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + self.grid**2, channels))
        self.blocks = nn.ModuleList([Layer(channels, heads) for _ in range(depth)])
        self.norm, self.head = nn.LayerNorm(channels, eps=1e-6), nn.Linear(channels, 1000)

    def forward(self, x):
        """Grids (n, h, w, c) by name, class tokens (n, c) by name with _class, logits."""
        x = self.patch_embed.proj(x)
        n, _, h, w = x.shape
        positions = self.pos_embed[:, 1:].transpose(1, 2).unflatten(2, (self.grid, self.grid))
        if (h, w) != (self.grid, self.grid):
            positions = F.interpolate(positions, size=(h, w), mode="bicubic", antialias=True)
        token = (self.cls_token + self.pos_embed[:, :1]).expand(n, -1, -1)
        x = torch.cat([token, (x + positions).flatten(2).transpose(1, 2)], dim=1)
        maps = {}
        for name, layer in [("embed", nn.Identity()), *((f"block{i}", b) for i, b in enumerate(self.blocks))]:
            x = layer(x)
            maps[name], maps[name + "_class"] = x[:, 1:].unflatten(1, (h, w)), x[:, 0]
        maps["logits"] = self.head(self.norm(x)[:, 0])
        return maps
