"""Straight-through derivatives: the value of a step without a slope, the derivative of a smooth function beside it.
BPDA (Athalye et al. 2018, arXiv 1802.00420, section 4.1); roundings after Bengio et al. 2013 (arXiv 1308.3432)."""

import jax
from jaxtyping import Array, Float


def straight_through(exact: Float[Array, "*s"], smooth: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """`exact`, bit for bit where `smooth` is finite, with the derivative of `smooth`; of any order, in both modes.

    Args:
      exact: the values, such as x rounded.
      smooth: what stands in for them in derivatives, such as x.
    """
    return jax.lax.stop_gradient(exact) + (smooth - jax.lax.stop_gradient(smooth))
