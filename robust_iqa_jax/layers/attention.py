"""Softmax attention that does not hold its weights for the backward pass, layer normalisation, and the perceptron of
transformer blocks.
Sources: arXiv 1706.03762 (attention), arXiv 2010.11929 (blocks); names of timm (attn.qkv, mlp.fc1)."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.functional.elementwise import over

DenseMaker = Callable[..., Callable[[Array], Array]]
"""(features, name=...) -> a dense layer with the initialisers of the network at hand."""


def attend(
    q: Float[Array, "*n q h d"],
    k: Float[Array, "*n k h d"],
    v: Float[Array, "*n k h d"],
    bias: Float[Array, "*m h q k"] | None = None,
    dropout: Callable[[Array], Array] | None = None,
) -> Float[Array, "*n q h d"]:
    """softmax(q k^T / sqrt(d) + bias) v for every head; the softmax in float32 or wider.

    Args:
      q, k, v: queries, keys and values; the axes before the tokens are a batch.
      bias: added to the logits, broadcast over the leading axes that it lacks.
      dropout: applied to the weights, which are then held for the backward pass.

    Returns:
      one mean of the values a query and head, of v's type.
    """
    if dropout is None:
        return _attend(q, k, v, bias)
    return _means(dropout(_weights(q, k, bias)), v)


# The weights of ten blocks on 785 tokens are 2.4 GB at batch 8 in float32: the backward pass computes them again.
@jax.checkpoint
def _attend(q: Array, k: Array, v: Array, bias: Array | None) -> Array:
    return _means(_weights(q, k, bias), v)


def _weights(q: Array, k: Array, bias: Array | None) -> Float[Array, "*n h q k"]:
    dtype = jnp.promote_types(q.dtype, jnp.float32)
    logits = jnp.einsum("...qhd,...khd->...hqk", q * q.shape[-1] ** -0.5, k, preferred_element_type=dtype)
    return jax.nn.softmax(logits if bias is None else logits + over(bias, logits))


def _means(weights: Array, v: Array) -> Array:
    return jnp.einsum("...hqk,...khd->...qhd", weights.astype(v.dtype), v)


def split_heads(x: Float[Array, "*n t c"], heads: int) -> Float[Array, "*n t h d"]:
    """Channels as heads of c / heads each.

    Raises:
      ValueError: channels that the heads do not divide.
    """
    if x.shape[-1] % heads:
        raise ValueError(f"attention: {heads} heads do not divide {x.shape[-1]} features; choose a divisor")
    return x.reshape(*x.shape[:-1], heads, -1)


def self_attention(
    x: Float[Array, "*n t c"], heads: int, dense: DenseMaker, bias: Float[Array, "*m h t t"] | None = None
) -> Float[Array, "*n t c"]:
    """Attention of tokens among themselves with one fused projection; layers `qkv` and `proj` of the calling module.

    Raises:
      ValueError: channels that the heads do not divide.
    """
    channels = x.shape[-1]
    q, k, v = (split_heads(part, heads) for part in jnp.split(dense(3 * channels, name="qkv")(x), 3, axis=-1))
    return dense(channels, name="proj")(attend(q, k, v, bias).reshape(x.shape))


class Mlp(nn.Module):
    """Dense to `features`, GELU (by the error function, or `approximate`, by tanh), dense back; layers `fc1`, `fc2`."""

    features: int
    dense: DenseMaker
    approximate: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "*n c"]) -> Float[Array, "*n c"]:
        """Apply to the last axis."""
        y = nn.gelu(self.dense(self.features, name="fc1")(x), approximate=self.approximate)
        return self.dense(x.shape[-1], name="fc2")(y)


def layer_norm(epsilon: float, name: str) -> nn.LayerNorm:
    """Layer normalisation whose variance is computed around the mean, as PyTorch's."""
    return nn.LayerNorm(epsilon=epsilon, use_fast_variance=False, name=name)
