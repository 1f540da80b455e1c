"""Convolution with explicit zero padding and PyTorch's meaning of it, over functional.conv2d.
Source: torch.nn.Conv2d."""

from typing import Any, cast

import flax.linen as nn
from jaxtyping import Array, Float

from robust_iqa_jax.functional.conv2d import conv2d
from robust_iqa_jax.functional.elementwise import as_float, over
from robust_iqa_jax.layers.initializers import kaiming_fan_out


class Conv(nn.Module):
    """Parameters `kernel` (kh, kw, in / groups, features) and, where asked for, `bias` (features).

    Attributes:
      features: output channels.
      kernel_size: (kh, kw), or one number for both.
      stride: along both sides.
      padding: zeros above and below, left and right; one number for both.
      groups: of input channels, each seen by its share of the outputs.
      use_bias: adds a bias; networks with batch normalisation do without.
      kernel_init, bias_init: initialisers.
    """

    features: int
    kernel_size: int | tuple[int, int]
    stride: int = 1
    padding: int | tuple[int, int] = 0
    groups: int = 1
    use_bias: bool = False
    kernel_init: Any = kaiming_fan_out
    bias_init: Any = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 f"]:
        """Convolve in the input's type, integers in float32."""
        x = as_float(x)
        size = (self.kernel_size,) * 2 if isinstance(self.kernel_size, int) else self.kernel_size
        kernel = self.param("kernel", self.kernel_init, (*size, x.shape[-1] // self.groups, self.features))
        y = cast(Array, conv2d(x, kernel.astype(x.dtype), self.stride, self.padding))
        if self.use_bias:
            y = y + over(self.param("bias", self.bias_init, (self.features,)).astype(x.dtype), y)
        return y
