"""BROConv: orthogonal convolution by block reflectors, a low-rank step away from the identity at every frequency.
Source: arXiv 2505.15174; mathematics in functional/block_reflector.py."""

import math
from typing import Any

from jaxtyping import Array, Float

from robust_iqa_jax.functional import block_reflector
from robust_iqa_jax.functional.elementwise import over
from robust_iqa_jax.kernels.cayley_solve.api import Solver
from robust_iqa_jax.kernels.dft2.api import Transform
from robust_iqa_jax.layers.orthogonal_conv import Free, OrthogonalConv


class BROConv(OrthogonalConv):
    """Orthogonal convolution: an isometry for features >= input channels, a co-isometry otherwise; any H x W.

    Parameters: `kernel` (kh, kw, rank, m) for every group, m = max(in, features) / groups; `bias` (features). Fields
    that all orthogonal convolutions have: see OrthogonalConv.

    Attributes:
      rank: of what is reflected, up to m; None is half of the fewer of a group's channels, as many as a random start
        leaves well conditioned.
      solver, transform: see kernels.
    """

    rank: int | None = None
    solver: Solver = "auto"
    transform: Transform = "auto"

    def parameters(self, x: Float[Array, "n h w gi"], taps: tuple[int, int]) -> Free:
        """Taps of V; see OrthogonalConv."""
        channels = self.channels(x)
        rank = max(1, min(channels) // 2) if self.rank is None else self.rank
        if not 1 <= rank <= max(channels):
            raise ValueError(f"BROConv: rank {rank} must lie between 1 and the {max(channels)} channels of a group")
        init = self.kernel_start(math.prod(taps) * channels[0])
        return {"kernel": self.grouped("kernel", init, (*taps, rank, max(channels)))}

    def convolve(self, free: Free, x: Float[Array, "n h w i"], taps: tuple[int, int]) -> Float[Array, "n h w o"]:
        """See functional.block_reflector."""
        features = free["bias"].shape[0]
        y = block_reflector.block_reflector_conv(x, free["kernel"], features, self.solver, self.transform)
        return y + over(free["bias"], y)

    def prepare(self, free: Free, size: tuple[int, int], taps: tuple[int, int]) -> block_reflector.ReflectorOperator:
        """Inverses of V^H V at every frequency."""
        return block_reflector.prepare(free["kernel"], free["bias"], size, self.solver)

    def apply_operator(self, operator: Any, x: Float[Array, "n h w i"]) -> Float[Array, "n h w o"]:
        """See functional.block_reflector."""
        return block_reflector.apply(operator, x, self.transform)
