"""BCOPConv: orthogonal convolution with an explicit kernel of kernel_size, one or two ordinary ones at inference.
Sources: arXiv 1911.00937 (BCOP), 2501.07930 (AOC); mathematics in functional/block_convolution.py."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.functional.block_convolution import block_convolution_conv, ordinary_kernels, steps
from robust_iqa_jax.functional.cayley import isometry_kernel
from robust_iqa_jax.functional.conv2d import circular_conv
from robust_iqa_jax.functional.elementwise import over
from robust_iqa_jax.layers.orthogonal_conv import Free, OrthogonalConv


@partial(jax.tree_util.register_dataclass, data_fields=["kernels", "bias"], meta_fields=[])
@dataclass(frozen=True, eq=False)
class KernelOperator:
    """Ordinary circular convolutions, one after the other.

    Attributes:
      kernels: (kh, kw, in, out) each.
      bias: (out,).
    """

    kernels: tuple[Float[Array, "kh kw i o"], ...]
    bias: Float[Array, " o"]

    def __call__(self, x: Float[Array, "n h w i"]) -> Float[Array, "n h w o"]:
        """Maps of any size."""
        for kernel in self.kernels:
            x = circular_conv(x, kernel)
        return x + over(self.bias.astype(x.dtype), x)


class BCOPConv(OrthogonalConv):
    """Orthogonal convolution: an isometry for features >= input channels, a co-isometry otherwise; any H x W.

    Parameters: `kernel` (1, 1, in / groups, features), a free matrix; `bases` (kh + kw - 2, c, r) for every group,
    c = min(in, features) / groups, r = c // 2: free bases of the projectors; `bias` (features). Fields that all
    orthogonal convolutions have: see OrthogonalConv; `kernel_init` draws the matrix.
    """

    def parameters(self, x: Float[Array, "n h w gi"], taps: tuple[int, int]) -> Free:
        """Matrix and bases; see OrthogonalConv."""
        channels, features = self.channels(x)
        side = min(channels, features)
        rank = max(1, side // 2)
        return {
            "kernel": self.grouped("kernel", self.kernel_start(channels), (1, 1, channels, features)),
            "bases": self.grouped("bases", jax.nn.initializers.normal(rank**-0.5), (len(steps(taps)), side, rank)),
        }

    def convolve(self, free: Free, x: Float[Array, "n h w i"], taps: tuple[int, int]) -> Float[Array, "n h w o"]:
        """See functional.block_convolution."""
        y = block_convolution_conv(x, free["kernel"][0, 0], free["bases"], taps)
        return y + over(free["bias"], y)

    def prepare(self, free: Free, size: tuple[int, int], taps: tuple[int, int]) -> KernelOperator:
        """The explicit kernel, for maps of every size."""
        return KernelOperator(ordinary_kernels(free["kernel"][0, 0], free["bases"], taps), free["bias"])

    @classmethod
    def isometry(cls, matrix: Float[Array, "o i"], free: Free) -> Free:
        """The inverse Cayley transform of the matrix, and every two projectors that follow each other alike, which
        undo one another; the kernel's sides have to be odd for that."""
        bases = free["bases"]
        if len(bases) % 2:
            raise ValueError("BCOPConv: only kernels of odd sides can start as a given isometry")
        return {"kernel": isometry_kernel(matrix, (1, 1)), "bases": jnp.repeat(bases[::2], 2, axis=0)}

    def apply_operator(self, operator: Any, x: Float[Array, "n h w i"]) -> Float[Array, "n h w o"]:
        """One or two ordinary convolutions."""
        return operator(x)
