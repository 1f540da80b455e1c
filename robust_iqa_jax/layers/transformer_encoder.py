"""Pre-norm transformer encoder that adds positions to queries and keys only, as DETR's and TReS's.
Sources: arXiv 1706.03762, arXiv 2005.12872; isalirezag/TReS transformers.py; torch.nn.MultiheadAttention."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.functional.floats import over
from robust_iqa_jax.layers.initializers import fan_in_uniform

LayerNorm = partial(nn.LayerNorm, epsilon=1e-5, use_fast_variance=False)
"""PyTorch's: its epsilon, and the variance around the mean."""


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
        n, t, d = x.shape
        if d % self.heads:
            raise ValueError(f"SelfAttention: {self.heads} heads do not divide {d} features")
        projected = Projections(name="in_proj")(x + over(positions, x), x)
        queries, keys, values = (part.reshape(n, t, self.heads, d // self.heads) for part in projected)
        weights = jax.nn.softmax(jnp.einsum("nqhf,nkhf->nhqk", queries / (d // self.heads) ** 0.5, keys))
        weights = nn.Dropout(self.dropout, deterministic=not train)(weights)
        joined = jnp.einsum("nhqk,nkhf->nqhf", weights, values).reshape(n, t, d)
        return nn.Dense(d, kernel_init=nn.initializers.xavier_uniform(), name="out_proj")(joined)


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
        x = x + dropped(attention(LayerNorm(name="norm1")(x), positions, train=train))
        hidden = nn.relu(linear(self.feedforward, "linear1", LayerNorm(name="norm2")(x)))
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
        return LayerNorm(name="norm")(x)
