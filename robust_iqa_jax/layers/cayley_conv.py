"""CayleyConv: the orthogonal circular convolution of the RobustBlock as a Linen module.
Source: arXiv 2506.04951; mathematics in functional/cayley.py."""

import math

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.functional import cayley
from robust_iqa_jax.layers.initializers import fan_in_uniform

OPERATORS = "operators"
"""Variable collection that holds prepared operators (inference): apply with mutable=[OPERATORS] to fill it."""


class CayleyConv(nn.Module):
    """Orthogonal convolution: an isometry for features >= input channels, non-expansive otherwise; any H x W.

    Parameters: `kernel` (kh, kw, in, out), `alpha` (scalar), `bias` (out). The spectral part runs in float32 or wider
    whatever the input's dtype; the output has the input's dtype.

    Attributes:
      features: output channels.
      kernel_size: (kh, kw).
      norm: "taps" (size-independent scaling) or "spectrum" (the papers'); see functional.cayley.scaled_kernel.
      alpha_init: start of alpha; None starts at the norm, so that the scaled kernel is the kernel. The paper's authors
        run 1.0 with norm="spectrum".
    """

    features: int
    kernel_size: tuple[int, int] = (3, 3)
    norm: cayley.Norm = "taps"
    alpha_init: float | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "n h w i"]) -> Float[Array, "n h w o"]:
        """Convolve x (n, h, w, in) to (n, h, w, features); uses a prepared operator where the variables hold one.

        Raises:
          ValueError: the prepared operator belongs to another map size.
        """
        fan_in = math.prod(self.kernel_size) * x.shape[-1]
        kernel = self.param("kernel", fan_in_uniform(fan_in), (*self.kernel_size, x.shape[-1], self.features))
        size = (x.shape[1], x.shape[2])
        start = cayley.kernel_norm(kernel, size, self.norm) if self.alpha_init is None else jnp.asarray(self.alpha_init)
        alpha = self.param("alpha", lambda _: start.astype(kernel.dtype))
        bias = self.param("bias", fan_in_uniform(fan_in), (self.features,))
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        if self.has_variable(OPERATORS, "operator"):
            return cayley.apply(self.get_variable(OPERATORS, "operator"), wide).astype(x.dtype)
        if self.is_mutable_collection(OPERATORS) and not self.is_initializing():
            operator = cayley.prepare(kernel, alpha, bias, size, self.norm)
            self.put_variable(OPERATORS, "operator", operator)
            return cayley.apply(operator, wide).astype(x.dtype)
        return cayley.cayley_conv(wide, kernel, alpha, bias, self.norm).astype(x.dtype)
