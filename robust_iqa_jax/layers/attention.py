"""Softmax attention that does not keep its weights for the backward pass, and the perceptron of transformer blocks.
Sources: arXiv 1706.03762 (attention), arXiv 2010.11929 (blocks); names of timm (attn.qkv, mlp.fc1)."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.functional.floats import over

DenseMaker = Callable[..., Callable[[Array], Array]]
"""(features, name=...) -> a dense layer with the initialisers of the network at hand."""


# The weights of ten blocks on 785 tokens are 2.4 GB at batch 8 in float32: the backward pass computes them again.
@jax.checkpoint
def attend(
    q: Float[Array, "*n q h d"],
    k: Float[Array, "*n k h d"],
    v: Float[Array, "*n k h d"],
    bias: Float[Array, "*m h q k"] | None = None,
) -> Float[Array, "*n q h d"]:
    """softmax(q k^T / sqrt(d) + bias) v for every head; the softmax in float32 or wider.

    Args:
      q, k, v: queries, keys and values; the axes before the tokens are a batch.
      bias: added to the logits, broadcast over the leading axes that it lacks.

    Returns:
      one mean of the values a query and head, of v's type.
    """
    dtype = jnp.promote_types(q.dtype, jnp.float32)
    logits = jnp.einsum("...qhd,...khd->...hqk", q * q.shape[-1] ** -0.5, k, preferred_element_type=dtype)
    if bias is not None:
        logits = logits + over(bias, logits)
    return jnp.einsum("...hqk,...khd->...qhd", jax.nn.softmax(logits).astype(v.dtype), v)


def self_attention(
    x: Float[Array, "*n t c"], heads: int, dense: DenseMaker, bias: Float[Array, "*m h t t"] | None = None
) -> Float[Array, "*n t c"]:
    """Attention of tokens among themselves with one fused projection; layers `qkv` and `proj` of the calling module.

    Raises:
      ValueError: channels that the heads do not divide.
    """
    channels = x.shape[-1]
    if channels % heads:
        raise ValueError(f"self_attention: {channels} channels do not divide into {heads} heads; choose a divisor")
    qkv = dense(3 * channels, name="qkv")(x).reshape(*x.shape[:-1], 3, heads, channels // heads)
    y = attend(qkv[..., 0, :, :], qkv[..., 1, :, :], qkv[..., 2, :, :], bias)
    return dense(channels, name="proj")(y.reshape(x.shape))


class Mlp(nn.Module):
    """Dense to `features`, GELU (the exact one, by the error function), dense back; layers `fc1` and `fc2`."""

    features: int
    dense: DenseMaker

    @nn.compact
    def __call__(self, x: Float[Array, "*n c"]) -> Float[Array, "*n c"]:
        """Apply to the last axis."""
        y = nn.gelu(self.dense(self.features, name="fc1")(x), approximate=False)
        return self.dense(x.shape[-1], name="fc2")(y)


def layer_norm(epsilon: float, name: str) -> nn.LayerNorm:
    """Layer normalisation whose variance is computed around the mean, as PyTorch's."""
    return nn.LayerNorm(epsilon=epsilon, use_fast_variance=False, name=name)
