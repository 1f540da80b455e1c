"""SLLConv: a residual step with an activation inside that never grows distances.
Source: arXiv 2303.03169; mathematics in functional/sdp_residual.py."""

import math
from typing import Any

import jax
from jaxtyping import Array, Float

from robust_iqa_jax.functional import sdp_residual
from robust_iqa_jax.layers.orthogonal_conv import Free, OrthogonalConv


class SLLConv(OrthogonalConv):
    """Step y = x - 2 W T^-1 relu(W^T x + b): 1-Lipschitz, not linear, no isometry.

    Parameters: `kernel` (kh, kw, width, m) for every group, m = max(in, features) / groups; `log_weights` and
    `inner_bias` (width) for every group; `bias` (features). Fields that all orthogonal convolutions have: see
    OrthogonalConv.

    Attributes:
      width: channels of the hidden map; None is the fewer of a group's channels.
    """

    width: int | None = None

    def parameters(self, x: Float[Array, "n h w gi"], taps: tuple[int, int]) -> Free:
        """Kernel, log q and the inner bias; see OrthogonalConv."""
        channels = self.channels(x)
        width = min(channels) if self.width is None else self.width
        if width < 1:
            raise ValueError(f"SLLConv: width must be at least 1, got {width}")
        init = self.kernel_start(math.prod(taps) * channels[0])
        return {
            "kernel": self.grouped("kernel", init, (*taps, width, max(channels))),
            "log_weights": self.grouped("log_weights", jax.nn.initializers.zeros, (width,)),
            "inner_bias": self.grouped("inner_bias", jax.nn.initializers.zeros, (width,)),
        }

    def convolve(self, free: Free, x: Float[Array, "n h w i"], taps: tuple[int, int]) -> Float[Array, "n h w o"]:
        """See functional.sdp_residual."""
        return sdp_residual.apply(sdp_residual.prepare(**free), x)

    def prepare(self, free: Free, size: tuple[int, int], taps: tuple[int, int]) -> sdp_residual.ResidualOperator:
        """T^-1, for maps of every size."""
        return sdp_residual.prepare(**free)

    def apply_operator(self, operator: Any, x: Float[Array, "n h w i"]) -> Float[Array, "n h w o"]:
        """See functional.sdp_residual."""
        return sdp_residual.apply(operator, x)
