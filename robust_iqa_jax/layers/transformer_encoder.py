"""Pre-norm transformer encoder that adds positions to queries and keys only, as DETR's and TReS's, and the positions.
Sources: arXiv 1706.03762 (sines), arXiv 2005.12872 (two axes, normalised); isalirezag/TReS transformers.py,
posencode.py; torch.nn.MultiheadAttention."""

import math

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from robust_iqa_jax.functional.elementwise import over
from robust_iqa_jax.layers.attention import attend, layer_norm, split_heads
from robust_iqa_jax.layers.initializers import fan_in_uniform

EPSILON = 1e-5
"""Added to the variance of every layer normalisation; PyTorch's."""


class Projections(nn.Module):
    """Queries, keys and values by one joint matrix; parameters `kernel` (d, 3 d), `bias` (3 d), in that order."""

    @nn.compact
    def __call__(self, compared: Float[Array, "n t d"], taken: Float[Array, "n t d"]) -> tuple[Array, Array, Array]:
        """What is compared (features and positions) gives queries and keys, what is taken (features) the values."""
        d = taken.shape[-1]
        kernel = self.param("kernel", nn.initializers.xavier_uniform(), (d, 3 * d)).astype(taken.dtype)
        bias = self.param("bias", nn.initializers.zeros, (3 * d,)).astype(taken.dtype)
        queries, keys = jnp.split(compared @ kernel[:, : 2 * d] + over(bias[: 2 * d], compared), 2, axis=-1)
        return queries, keys, taken @ kernel[:, 2 * d :] + over(bias[2 * d :], taken)


class SelfAttention(nn.Module):
    """Multi-head attention: softmax(q k^T / sqrt(d / heads)) v for each head, heads joined and projected.

    Attributes:
      heads: number of heads, a divisor of d.
      dropout: rate of dropped attention weights in training.
    """

    heads: int
    dropout: float = 0.0

    @nn.compact
    def __call__(
        self, x: Float[Array, "n t d"], positions: Float[Array, "t d"], *, train: bool
    ) -> Float[Array, "n t d"]:
        """Attend; positions are added to x for queries and keys.

        Raises:
          ValueError: heads that do not divide d.
        """
        projections = Projections(name="in_proj")(x + over(positions, x), x)
        queries, keys, values = (split_heads(part, self.heads) for part in projections)
        y = attend(queries, keys, values, dropout=nn.Dropout(self.dropout, deterministic=not train))
        return nn.Dense(x.shape[-1], kernel_init=nn.initializers.xavier_uniform(), name="out_proj")(y.reshape(x.shape))


class EncoderLayer(nn.Module):
    """x + attention(norm1(x)), then x + linear2(relu(linear1(norm2(x)))), dropout behind each step.

    Attributes:
      heads: of the attention.
      feedforward: width between linear1 and linear2.
      dropout: one rate for the attention's weights, the hidden layer and both residual branches.
    """

    heads: int
    feedforward: int
    dropout: float = 0.0

    @nn.compact
    def __call__(
        self, x: Float[Array, "n t d"], positions: Float[Array, "t d"], *, train: bool
    ) -> Float[Array, "n t d"]:
        """Apply the layer."""

        def dropped(y: Array) -> Array:
            return nn.Dropout(self.dropout, deterministic=not train)(y)

        def linear(features: int, name: str, y: Array) -> Array:
            weights, bias = nn.initializers.xavier_uniform(), fan_in_uniform(y.shape[-1])
            return nn.Dense(features, kernel_init=weights, bias_init=bias, name=name)(y)

        attention = SelfAttention(self.heads, self.dropout, name="self_attn")
        x = x + dropped(attention(layer_norm(EPSILON, "norm1")(x), positions, train=train))
        hidden = nn.relu(linear(self.feedforward, "linear1", layer_norm(EPSILON, "norm2")(x)))
        return x + dropped(linear(x.shape[-1], "linear2", dropped(hidden)))


class TransformerEncoder(nn.Module):
    """A stack of layers (`layer0`, `layer1`, ...) and a last layer normalisation, `norm`.

    Attributes:
      layers: number of layers.
      heads, feedforward, dropout: of each layer.
    """

    layers: int
    heads: int
    feedforward: int
    dropout: float = 0.0

    @nn.compact
    def __call__(
        self, x: Float[Array, "n t d"], positions: Float[Array, "t d"], *, train: bool
    ) -> Float[Array, "n t d"]:
        """Tokens x and their positions -> encoded tokens; `train` drops out with the rng "dropout"."""
        for i in range(self.layers):
            x = EncoderLayer(self.heads, self.feedforward, self.dropout, name=f"layer{i}")(x, positions, train=train)
        return layer_norm(EPSILON, "norm")(x)


def sine_position_encoding(
    size: tuple[int, int], features: int, temperature: float = 1e4, dtype: DTypeLike = jnp.float32
) -> Float[Array, "h w f"]:
    """Position encoding of every pixel, the same for all images.

    With a = 2 pi r / (H + 1e-6) for row r = 1..H (columns alike) and m = features / 2 entries an axis,
    entry i is sin(a / temperature^(i / m)) for even i and cos(a / temperature^((i - 1) / m)) for odd i.

    Args:
      size: (H, W).
      features: of the encoding, a multiple of 4: the first half tells rows, the second columns.
      temperature: ratio of the longest period to the shortest, nearly.
      dtype: of the result; it is computed in float64.

    Returns:
      (H, W, features) in [-1, 1].

    Raises:
      ValueError: features that are no multiple of 4.
    """
    if features % 4:
        raise ValueError(f"sine_position_encoding: features must be a multiple of 4, got {features}")
    rows, columns = (_axis(n, features // 2, temperature) for n in size)
    shape = (*size, features // 2)
    encoding = np.concatenate([np.broadcast_to(rows[:, None], shape), np.broadcast_to(columns, shape)], axis=-1)
    return jnp.asarray(encoding, dtype)


def _axis(n: int, features: int, temperature: float) -> np.ndarray:
    angle = 2 * math.pi * np.arange(1, n + 1) / (n + 1e-6)
    angles = angle[:, None] / temperature ** (np.arange(0, features, 2) / features)
    return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(n, features)
