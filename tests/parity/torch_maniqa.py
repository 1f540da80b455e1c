"""An independent MANIQA in PyTorch, from the architecture's description, with the public release's parameter names.

Windows are not cut: each token attends to all that are allowed, those in its window that lie near it on the map.
"""

import torch
import torch.nn.functional as F
from parity.torch_vit import Mlp, TorchViT
from torch import nn


class ChannelAttention(nn.Module):
    def __init__(self, positions):
        super().__init__()
        self.c_q, self.c_k, self.c_v = (nn.Linear(positions, positions) for _ in range(3))

    def forward(self, x):
        """(n, c, positions); the values leave as (positions, c), read in the order of (c, positions)."""
        y = F.scaled_dot_product_attention(self.c_q(x), self.c_k(x), self.c_v(x))
        return x + torch.stack([one.T.flatten() for one in y]).view_as(x)


class WindowAttention(nn.Module):
    def __init__(self, channels, heads, grid, side, shift):
        super().__init__()
        self.heads, self.qkv, self.proj = heads, nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * side - 1) ** 2, heads))
        rows, columns = torch.arange(grid).repeat_interleave(grid), torch.arange(grid).repeat(grid)
        window = ((rows - shift) % grid // side) * grid + (columns - shift) % grid // side
        down, right = rows[:, None] - rows, columns[:, None] - columns
        allowed = (window[:, None] == window) & (down.abs() < side) & (right.abs() < side)
        self.allowed, self.pairs = allowed, ((down + side - 1) * (2 * side - 1) + right + side - 1)[allowed]
        # as stored by the release, which nothing here reads
        self.register_buffer("relative_position_index", torch.zeros(side**2, side**2, dtype=torch.long))

    def forward(self, x):
        parts = self.qkv(x).chunk(3, dim=-1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        bias = x.new_full((*self.allowed.shape, self.heads), -torch.inf)
        bias[self.allowed] = self.relative_position_bias_table[self.pairs]
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.permute(2, 0, 1))
        return self.proj(y.transpose(1, 2).flatten(2))


class SwinUnit(nn.Module):
    def __init__(self, channels, heads, grid, side, shift, hidden):
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(channels), WindowAttention(channels, heads, grid, side, shift)
        self.norm2, self.mlp = nn.LayerNorm(channels), Mlp(channels, hidden)
        if shift:
            self.register_buffer("attn_mask", torch.zeros((grid // side) ** 2, side**2, side**2))

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class SwinLayer(nn.Module):
    def __init__(self, channels, heads, grid, side, depth, hidden):
        super().__init__()
        self.grid, self.conv = grid, nn.Conv2d(channels, channels, 3, padding=1)
        self.blocks = nn.ModuleList(
            [SwinUnit(channels, heads, grid, side, side // 2 * (i % 2), hidden) for i in range(depth)]
        )

    def forward(self, x):
        y = x.flatten(2).transpose(1, 2)
        for block in self.blocks:
            y = block(y)
        return torch.relu(self.conv(y.transpose(1, 2).unflatten(2, (self.grid, self.grid))))


class Swin(nn.Module):
    def __init__(self, channels, grid, side, depths, hidden, scale):
        super().__init__()
        self.scale = scale
        self.downsample = nn.Conv2d(channels, channels, 3, 2, 1)
        self.layers = nn.ModuleList([SwinLayer(channels, 4, grid, side, depth, hidden) for depth in depths])

    def forward(self, x):
        for layer in self.layers:
            x = x + self.scale * layer(x)
        return x


class TorchMANIQA(nn.Module):
    """Without the release's dropout, so that training and evaluation agree."""

    def __init__(
        self, name="vit_base_patch8_224", read=(6, 7, 8, 9), hidden=768, scale=0.8, depths=(2, 2), blocks=2, side=4
    ):
        super().__init__()
        self.vit, self.read = TorchViT(name), read
        grid, c = self.vit.grid, self.vit.cls_token.shape[-1]
        self.tablock1 = nn.ModuleList([ChannelAttention(grid**2) for _ in range(blocks)])
        self.conv1 = nn.Conv2d(len(read) * c, c, 1)
        self.swintransformer1 = Swin(c, grid, side, depths, hidden, scale)
        self.tablock2 = nn.ModuleList([ChannelAttention(grid**2) for _ in range(blocks)])
        self.conv2 = nn.Conv2d(c, c // 2, 1)
        self.swintransformer2 = Swin(c // 2, grid, side, depths, hidden, scale)
        self.fc_score, self.fc_weight = (
            nn.Sequential(nn.Linear(c // 2, c // 2), nn.ReLU(), nn.Identity(), nn.Linear(c // 2, 1), last)
            for last in (nn.ReLU(), nn.Sigmoid())
        )

    def forward(self, x):
        """Grids (n, h, w, c) by name, and the score."""
        maps = self.vit(x)
        x = torch.cat([maps[f"block{i}"] for i in self.read], dim=-1)
        maps["concat"] = x
        x = x.permute(0, 3, 1, 2)
        for number in (1, 2):
            size = x.shape[2:]
            x = x.flatten(2)
            for block in getattr(self, f"tablock{number}"):
                x = block(x)
            x = x.unflatten(2, size)
            maps[f"tab{number}"] = x.permute(0, 2, 3, 1)
            x = getattr(self, f"conv{number}")(x)
            maps[f"conv{number}"] = x.permute(0, 2, 3, 1)
            x = getattr(self, f"swintransformer{number}")(x)
            maps[f"swin{number}"] = x.permute(0, 2, 3, 1)
        patches = x.flatten(2).transpose(1, 2)
        score, weight = self.fc_score(patches), self.fc_weight(patches)
        maps["score"] = (score * weight).sum(1) / weight.sum(1)
        return maps
