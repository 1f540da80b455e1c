"""Convolution whose kernel has mean 0 and deviation 1 for every output, padded as TensorFlow's "SAME", without bias.
Sources: Weight Standardization (arXiv 1903.10520); google-research/google-research musiq/model/resnet.py."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.functional.conv2d import conv2d
from robust_iqa_jax.functional.same_padding import same_padding

EPSILON = 1e-5
"""Added to the deviation of each output's weights."""


class StandardisedConv(nn.Module):
    """Parameter `kernel` (k, k, in, features), as it is before it is standardised.

    Attributes:
      features: output channels.
      size: of the kernel, along both sides.
      stride: along both sides.
    """

    features: int
    size: int
    stride: int = 1

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 f"]:
        """(n, h, w, c) -> (n, ceil(h / stride), ceil(w / stride), features)."""
        kernel = self.param(
            "kernel", nn.initializers.lecun_normal(), (self.size, self.size, x.shape[-1], self.features)
        )
        pads = [same_padding(side, self.size, self.stride) for side in x.shape[1:3]]
        return conv2d(jnp.pad(x, ((0, 0), *pads, (0, 0))), standardised(kernel.astype(x.dtype)), self.stride)


def standardised(kernel: Float[Array, "kh kw i o"]) -> Float[Array, "kh kw i o"]:
    """(kernel - mean) / (deviation + EPSILON), each of the weights of an output."""
    centred = kernel - kernel.mean((0, 1, 2), keepdims=True)
    return centred / (kernel.std((0, 1, 2), keepdims=True) + EPSILON)
