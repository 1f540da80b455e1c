"""AOLConv: an ordinary convolution rescaled so that it never grows the norm; almost orthogonal after training.
Source: arXiv 2208.03160; mathematics in functional/almost_orthogonal.py."""

import math
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.functional.almost_orthogonal import almost_orthogonal_kernel
from robust_iqa_jax.functional.conv2d import circular_conv
from robust_iqa_jax.functional.elementwise import over
from robust_iqa_jax.layers.bcop_conv import KernelOperator
from robust_iqa_jax.layers.orthogonal_conv import Free, OrthogonalConv


class AOLConv(OrthogonalConv):
    """Convolution of norm 1 at most: no isometry, norms shrink.

    Parameters: `kernel` (kh, kw, in / groups, features), `bias` (features). Fields that all orthogonal convolutions
    have: see OrthogonalConv.
    """

    def parameters(self, x: Float[Array, "n h w gi"], taps: tuple[int, int]) -> Free:
        """The kernel before it is rescaled; see OrthogonalConv."""
        channels, features = self.channels(x)
        init = self.kernel_start(math.prod(taps) * channels)
        return {"kernel": self.grouped("kernel", init, (*taps, channels, features))}

    def convolve(self, free: Free, x: Float[Array, "n h w i"], taps: tuple[int, int]) -> Float[Array, "n h w o"]:
        """See functional.almost_orthogonal."""
        y = circular_conv(x, almost_orthogonal_kernel(free["kernel"]))
        return y + over(free["bias"], y)

    def prepare(self, free: Free, size: tuple[int, int], taps: tuple[int, int]) -> KernelOperator:
        """The rescaled kernel, for maps of every size."""
        return KernelOperator((almost_orthogonal_kernel(free["kernel"]),), free["bias"])

    @classmethod
    def isometry(cls, matrix: Float[Array, "o i"], free: Free) -> Free:
        """The matrix itself on the centre tap."""
        kh, kw = free["kernel"].shape[:2]
        return {"kernel": jnp.zeros_like(free["kernel"]).at[(kh - 1) // 2, (kw - 1) // 2].set(matrix.T)}

    def apply_operator(self, operator: Any, x: Float[Array, "n h w i"]) -> Float[Array, "n h w o"]:
        """One ordinary convolution."""
        return operator(x)
