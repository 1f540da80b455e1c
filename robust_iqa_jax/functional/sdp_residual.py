"""A residual step that never grows distances, y = x - 2 W T^-1 relu(W^T x + b), T from a semidefinite program (SLL).
Source: Araujo, Havens, Delattre, Allauzen & Hu 2023 (arXiv 2303.03169), theorem 3."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.functional.almost_orthogonal import gram_bound
from robust_iqa_jax.functional.conv2d import circular_conv, circular_conv_adjoint
from robust_iqa_jax.functional.elementwise import over


@partial(jax.tree_util.register_dataclass, data_fields=["kernel", "scale", "inner_bias", "bias"], meta_fields=[])
@dataclass(frozen=True, eq=False)
class ResidualOperator:
    """A residual step whose bound is computed.

    Attributes:
      kernel: (kh, kw, r, m).
      scale: (r,), T^-1.
      inner_bias: (r,).
      bias: (out,).
    """

    kernel: Float[Array, "kh kw r m"]
    scale: Float[Array, " r"]
    inner_bias: Float[Array, " r"]
    bias: Float[Array, " o"]


def prepare(
    kernel: Float[Array, "kh kw r m"],
    log_weights: Float[Array, " r"],
    inner_bias: Float[Array, " r"],
    bias: Float[Array, " o"],
) -> ResidualOperator:
    """The step of these free parameters, for maps of every size.

    Args:
      kernel: (kh, kw, r, m): W, m the wider of in and out, r the width of the hidden map.
      log_weights: (r,), log q.
      inner_bias: (r,), b.
      bias: (out,), added to the result.
    """
    bound = gram_bound(kernel, jnp.exp(log_weights))
    scale = jnp.where(bound > 0, 1 / jnp.where(bound > 0, bound, 1), 0)
    return ResidualOperator(kernel, scale, inner_bias, bias)


def apply(operator: ResidualOperator, x: Float[Array, "n h w i"]) -> Float[Array, "n h w o"]:
    """y of x: never further apart than the inputs were, an isometry nowhere in particular. Channels that x lacks to m
    are zero, and those above the bias's are dropped.

    Args:
      operator: from `prepare`.
      x: (n, H, W, in).

    Returns:
      (n, H, W, out).
    """
    ci, features = x.shape[3], operator.bias.shape[0]
    hidden = circular_conv_adjoint(x, operator.kernel[..., :ci])
    hidden = jax.nn.relu(hidden + over(operator.inner_bias, hidden)) * over(operator.scale, hidden)
    kept = jnp.pad(x[..., :features], ((0, 0), (0, 0), (0, 0), (0, max(0, features - ci))))
    return kept - 2 * circular_conv(hidden, operator.kernel[..., :features]) + over(operator.bias, x)
