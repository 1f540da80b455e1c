"""A root and one bottleneck of a ResNet with group normalisation, applied to every patch of an image by itself.
Sources: MUSIQ, its "ResNet-5" (arXiv 2108.05997; google-research/google-research musiq/model/resnet.py)."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.functional.elementwise import relu_sum
from robust_iqa_jax.functional.pooling import max_pool
from robust_iqa_jax.functional.same_padding import same_padding
from robust_iqa_jax.layers.standardised_conv import StandardisedConv

GROUPS = 32
"""Of channels, in every normalisation."""
ROOT_EPSILON, EPSILON = 1e-6, 1e-4
"""Added to the variances of the root's normalisation, and of the bottleneck's."""
EXPANSION = 4
"""Channels behind the bottleneck for each of the root's."""


def cut_patches(images: Float[Array, "n h w c"], side: int) -> Float[Array, "n rows columns side side c"]:
    """Images (n, h, w, c) as ceil(h / side) x ceil(w / side) square patches.

    Zeros are put around an image whose sides are no multiples, the odd one below and at the right.
    """
    pads = [same_padding(length, side, side) for length in images.shape[1:3]]
    padded = jnp.pad(images, ((0, 0), *pads, (0, 0)))
    n, h, w, c = padded.shape
    return padded.reshape(n, h // side, side, w // side, side, c).swapaxes(2, 3)


class PatchResNet(nn.Module):
    """Patches to maps of a quarter of their side; submodules conv_root, gn_root, conv{1,2,3,_proj}, gn{1,2,3,_proj}.

    Attributes:
      width: channels of the root, a multiple of GROUPS; the result has EXPANSION times as many.
    """

    width: int

    @nn.compact
    def __call__(self, x: Float[Array, "n s s c"]) -> Float[Array, "n s4 s4 f"]:
        """Patches (n, side, side, 3), side a multiple of 4 -> (n, side / 4, side / 4, EXPANSION width)."""

        def norm(name: str, epsilon: float = EPSILON) -> nn.GroupNorm:
            return nn.GroupNorm(GROUPS, epsilon=epsilon, use_fast_variance=False, name=name)

        wide = EXPANSION * self.width
        x = nn.relu(norm("gn_root", ROOT_EPSILON)(StandardisedConv(self.width, 7, 2, name="conv_root")(x)))
        pads = [same_padding(side, 3, 2) for side in x.shape[1:3]]
        x = max_pool(jnp.pad(x, ((0, 0), *pads, (0, 0))), 3, 2)  # nothing is below the padding's zeros
        kept = norm("gn_proj")(StandardisedConv(wide, 1, name="conv_proj")(x))
        x = nn.relu(norm("gn1")(StandardisedConv(self.width, 1, name="conv1")(x)))
        x = nn.relu(norm("gn2")(StandardisedConv(self.width, 3, name="conv2")(x)))
        return relu_sum(kept, norm("gn3")(StandardisedConv(wide, 1, name="conv3")(x)))
