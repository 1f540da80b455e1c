"""Swin transformer on a map that keeps its size, as MANIQA has it: windows, a convolution a layer, scaled residuals.
Sources: arXiv 2103.14030 (windows), arXiv 2204.08958 (scale); names of IIGROUP/MANIQA models/swin.py."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from robust_iqa_jax.functional.elementwise import over
from robust_iqa_jax.layers.attention import Mlp, layer_norm, self_attention
from robust_iqa_jax.layers.conv import Conv
from robust_iqa_jax.layers.dense import Dense
from robust_iqa_jax.layers.initializers import fan_in_uniform

EPSILON = 1e-5
"""Added to the variance of every layer normalisation."""
MASKED = -100.0
"""Added to the logits of tokens that are neighbours only because the map was rolled."""
DROPOUT = 0.1
"""Rate at the entry of SwinTransformer."""
DROP_PATH = 0.1
"""Rate at which the last block of a SwinTransformer is skipped for an image; it grows linearly from 0 at the first."""


def windows(x: Float[Array, "n h w c"], side: int) -> Float[Array, "n windows tokens c"]:
    """Cut maps into square windows, row by row, each with its tokens row by row; the side divides h and w."""
    n, h, w, c = x.shape
    blocks = x.reshape(n, h // side, side, w // side, side, c).swapaxes(2, 3)
    return blocks.reshape(n, -1, side * side, c)


def from_windows(x: Float[Array, "n windows tokens c"], size: tuple[int, int]) -> Float[Array, "n h w c"]:
    """The inverse of `windows`, for maps of `size`."""
    (h, w), side = size, int(x.shape[2] ** 0.5)
    blocks = x.reshape(x.shape[0], h // side, w // side, side, side, -1).swapaxes(2, 3)
    return blocks.reshape(x.shape[0], h, w, -1)


def relative_positions(side: int) -> np.ndarray:
    """Row of the bias table for every pair (query, key) of a window, (side^2, side^2) in 0 .. (2 side - 1)^2 - 1."""
    rows, columns = np.divmod(np.arange(side * side), side)
    down, right = (np.subtract.outer(axis, axis) + side - 1 for axis in (rows, columns))
    return down * (2 * side - 1) + right


def shift_mask(size: tuple[int, int], side: int, shift: int) -> np.ndarray:
    """(windows, 1, side^2, side^2): 0 between tokens of one region of the rolled map, MASKED between two.

    A roll by `shift` brings the first rows behind the last ones; in the last windows they are different regions.
    """
    regions = [np.where(np.arange(n) < n - side, 0, np.where(np.arange(n) < n - shift, 1, 2)) for n in size]
    labels = (3 * regions[0][:, None] + regions[1]).reshape(size[0] // side, side, size[1] // side, side)
    of_tokens = labels.swapaxes(1, 2).reshape(-1, side * side)
    return np.where(of_tokens[:, None, :] == of_tokens[:, :, None], 0.0, MASKED)[:, None]


class WindowAttention(nn.Module):
    """Attention in each window, with a learned bias of the relative position; layers `qkv`, `proj`.

    Parameter `relative_position_bias_table` (heads, (2 side - 1)^2), the transpose of PyTorch's.
    """

    heads: int
    side: int

    @nn.compact
    def __call__(self, x: Float[Array, "n windows t c"], mask: np.ndarray | None) -> Float[Array, "n windows t c"]:
        """Apply; mask (windows, 1, t, t) is added to the logits."""
        shape = (self.heads, (2 * self.side - 1) ** 2)
        table = self.param("relative_position_bias_table", nn.initializers.normal(0.02), shape)
        bias = table[:, relative_positions(self.side)]
        bias = bias if mask is None else over(bias, mask) + mask.astype(bias.dtype)
        return self_attention(x, self.heads, Dense, bias)


class SwinBlock(nn.Module):
    """x + attention(norm(x)) in windows, then x + mlp(norm(x)); submodules norm1, attn, norm2, mlp.

    Attributes:
      heads: of the attention.
      side: of a window; a map that is not larger is one window, without a shift.
      shift: rows and columns that the map is rolled by before it is cut into windows, and back behind them.
      mlp_features: hidden channels of the MLP.
      drop_path: rate at which, in training, each of the two branches is left out for an image; needs the rng "dropout".
    """

    heads: int
    side: int
    shift: int
    mlp_features: int
    drop_path: float = 0.0

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], train: bool) -> Float[Array, "n h w c"]:
        """Apply the block.

        Raises:
          ValueError: a map whose sides are not multiples of the window's.
        """
        size = (x.shape[1], x.shape[2])
        side, shift = (self.side, self.shift) if min(size) > self.side else (min(size), 0)
        if size[0] % side or size[1] % side:
            raise ValueError(f"SwinBlock: a map {size} does not divide into windows of {side}; crop or pad it")

        def dropped(y: Array) -> Array:
            return nn.Dropout(self.drop_path, broadcast_dims=(1, 2, 3))(y, deterministic=not train)

        y = layer_norm(EPSILON, "norm1")(x)
        y = jnp.roll(y, (-shift, -shift), (1, 2)) if shift else y
        mask = shift_mask(size, side, shift) if shift else None
        y = WindowAttention(self.heads, side, name="attn")(windows(y, side), mask)
        y = from_windows(y, size)
        y = jnp.roll(y, (shift, shift), (1, 2)) if shift else y
        x = x + dropped(y)
        return x + dropped(Mlp(self.mlp_features, Dense, name="mlp")(layer_norm(EPSILON, "norm2")(x)))


class SwinLayer(nn.Module):
    """Blocks, every second one shifted by half a window, then ReLU of a 3x3 convolution; blocks_{0..}, conv.

    Attributes:
      drop_paths: rate of each block, as many as there are blocks.
      heads, side, mlp_features: of the blocks.
    """

    drop_paths: Sequence[float]
    heads: int
    side: int
    mlp_features: int

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], train: bool) -> Float[Array, "n h w c"]:
        """Apply the layer."""
        for number, rate in enumerate(self.drop_paths):
            shift = self.side // 2 if number % 2 else 0
            name = f"blocks_{number}"
            x = SwinBlock(self.heads, self.side, shift, self.mlp_features, rate, name=name)(x, train)
        channels = x.shape[-1]
        init = fan_in_uniform(9 * channels)
        return nn.relu(Conv(channels, 3, 1, 1, use_bias=True, kernel_init=init, bias_init=init, name="conv")(x))


class SwinTransformer(nn.Module):
    """Layers, each added to its input as x + scale layer(x); layers_{0..}.

    Attributes:
      depths: blocks of each layer.
      heads: of the blocks of each layer.
      side, mlp_features: of all blocks.
      scale: factor of what each layer adds.
      dropout: False leaves out dropout and drop path in training; with them it needs the rng "dropout".
    """

    depths: Sequence[int] = (2, 2)
    heads: Sequence[int] = (4, 4)
    side: int = 4
    mlp_features: int = 768
    scale: float = 0.8
    dropout: bool = True

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], train: bool) -> Float[Array, "n h w c"]:
        """Apply all layers."""
        random = train and self.dropout
        rates, first = np.linspace(0, DROP_PATH, sum(self.depths)).tolist(), 0
        x = nn.Dropout(DROPOUT)(x, deterministic=not random)
        for number, (depth, heads) in enumerate(zip(self.depths, self.heads, strict=True)):
            layer = SwinLayer(
                rates[first : first + depth], heads, self.side, self.mlp_features, name=f"layers_{number}"
            )
            x = x + self.scale * layer(x, random)
            first += depth
        return x
