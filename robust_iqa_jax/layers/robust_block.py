"""RobustBlock: pool to a square, convolution to a narrow map, orthogonal convolution back to the input's channels.
Source: arXiv 2506.04951 (docs/sources.md 1.1); the pooling is optional here because the convolution takes any H x W."""

from collections.abc import Callable
from functools import partial
from typing import Literal

import flax.linen as nn
from jaxtyping import Array, Float

from robust_iqa_jax.functional.cayley import Norm
from robust_iqa_jax.functional.pooling import pool_to_square
from robust_iqa_jax.layers.aol_conv import AOLConv
from robust_iqa_jax.layers.bcop_conv import BCOPConv
from robust_iqa_jax.layers.bro_conv import BROConv
from robust_iqa_jax.layers.cayley_conv import CayleyConv, Compat
from robust_iqa_jax.layers.conv import Conv
from robust_iqa_jax.layers.initializers import fan_in_uniform
from robust_iqa_jax.layers.orthogonal_conv import OrthogonalConv
from robust_iqa_jax.layers.sll_conv import SLLConv

Pool = Literal["square", "none"]
Convolution = Literal["cayley", "bcop", "bro", "aol", "sll"]

CONVOLUTIONS: dict[Convolution, type[OrthogonalConv]] = {
    "cayley": CayleyConv,
    "bcop": BCOPConv,
    "bro": BROConv,
    "aol": AOLConv,
    "sll": SLLConv,
}
"""Constructions by the name that RobustBlock and its submodule have them under; the first is the paper's. What each
gives up: docs/layers.md."""


class RobustBlock(nn.Module):
    """x (n, h, w, c) -> (n, h', w', c). With the same channels in and out it replaces a feature map of a backbone.

    Attributes:
      mid_channels: M, channels between the two convolutions (the paper: 200 for 1024).
      pool: "square" (the paper) or "none" (keeps landscape and portrait maps as they are).
      padding: zero padding of conv_in; 0 for LinearityIQA and KonCept in the paper (the map shrinks by 2), 1 for TReS.
      norm, alpha_init, compat: of the CayleyConv.
      convolution: what is put behind conv_in, one of CONVOLUTIONS.
    """

    mid_channels: int
    pool: Pool = "square"
    padding: int = 0
    norm: Norm = "taps"
    alpha_init: float | None = None
    compat: Compat = "exact"
    convolution: Convolution = "cayley"

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c"]:
        """Pool, narrow with a plain 3x3 convolution, widen with the orthogonal one; no activation, no skip.

        The result has the input's type.

        Raises:
          ValueError: unknown pool or convolution, the CayleyConv's fields with another one, or maps that are too small.
        """
        if self.pool not in ("square", "none"):
            raise ValueError(f"RobustBlock: unknown pool {self.pool!r}; choose 'square' or 'none'")
        convolution = self._convolution()
        channels, given = x.shape[-1], x.shape[1:3]
        if self.pool == "square":
            x = pool_to_square(x)
        if min(x.shape[1:3]) + 2 * self.padding < 3:
            raise ValueError(
                f"RobustBlock: nothing is left of maps of {given[0]} x {given[1]} behind its 3x3 convolution; "
                "take larger images, padding=1 or an earlier map"
            )
        init = fan_in_uniform(9 * channels)
        conv_in = Conv(
            self.mid_channels,
            3,
            padding=self.padding,
            use_bias=True,
            kernel_init=init,
            bias_init=init,
            name="conv_in",
        )
        x = conv_in(x)
        return convolution(channels, name=self.convolution)(x).astype(x.dtype)

    def _convolution(self) -> Callable[..., OrthogonalConv]:
        if self.convolution not in CONVOLUTIONS:
            raise ValueError(
                f"RobustBlock: unknown convolution {self.convolution!r}; choose one of {', '.join(CONVOLUTIONS)}"
            )
        own = {"norm": self.norm, "alpha_init": self.alpha_init, "compat": self.compat}
        if self.convolution == "cayley":
            return partial(CayleyConv, **own)
        if own != {"norm": "taps", "alpha_init": None, "compat": "exact"}:
            raise ValueError(
                f"RobustBlock: norm, alpha_init and compat are the Cayley convolution's; {self.convolution} has none"
            )
        return CONVOLUTIONS[self.convolution]
