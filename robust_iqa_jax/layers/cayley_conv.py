"""CayleyConv: the orthogonal circular convolution of the RobustBlock as a Linen module.
Source: arXiv 2506.04951; mathematics in functional/cayley.py."""

import math
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.functional import cayley
from robust_iqa_jax.functional.authors_cayley import authors_cayley_conv
from robust_iqa_jax.kernels.cayley_solve.api import Solver
from robust_iqa_jax.kernels.dft2.api import Transform
from robust_iqa_jax.layers.orthogonal_conv import Free, OrthogonalConv

WARM_STARTS = "warm_starts"
"""Variable collection that holds the last inverse for solver="newton_schulz": give it and make it mutable in training,
so that each step starts where the last one ended; without it, and with groups, every step starts cold."""

Compat = Literal["exact", "authors"]


class CayleyConv(OrthogonalConv):
    """Orthogonal convolution: an isometry for features >= input channels, a co-isometry otherwise; any H x W.

    Parameters: `kernel` (kh, kw, in / groups, features), `alpha` (scalar, one a group), `bias` (features). Fields that
    all orthogonal convolutions have: see OrthogonalConv.

    Attributes:
      norm: "taps" (size-independent scaling) or "spectrum" (the papers'); see functional.cayley.scaled_kernel.
      alpha_init: start of alpha; None starts at the norm, so that the scaled kernel is the kernel. The paper's authors
        run 1.0 with norm="spectrum".
      solver: of the Cayley system, see kernels.cayley_solve; "newton_schulz" can be warm-started, see WARM_STARTS.
      transform: see kernels.dft2.
      compat: "authors" loses a column of odd widths, as the published code does; for anchors only.
    """

    norm: cayley.Norm = "taps"
    alpha_init: float | None = None
    solver: Solver = "auto"
    transform: Transform = "auto"
    compat: Compat = "exact"

    def parameters(self, x: Float[Array, "n h w gi"], taps: tuple[int, int]) -> Free:
        """Kernel and alpha; see OrthogonalConv."""
        if self.compat not in get_args(Compat):
            raise ValueError(f"CayleyConv: unknown compat {self.compat!r}; choose one of {list(get_args(Compat))}")
        channels, features = self.channels(x)
        kernel = self.grouped("kernel", self.kernel_start(math.prod(taps) * channels), (*taps, channels, features))
        alpha = self.param("alpha", lambda _: self._start(kernel, (x.shape[1], x.shape[2])))
        return {"kernel": kernel, "alpha": alpha.reshape(-1)}

    def convolve(self, free: Free, x: Float[Array, "n h w i"], taps: tuple[int, int]) -> Float[Array, "n h w1 o"]:
        """See functional.cayley; compat "authors" loses a column of odd maps."""
        kernel, alpha, bias = free["kernel"], free["alpha"], free["bias"]
        if self.compat == "authors":
            return authors_cayley_conv(x, kernel, alpha, bias, self.norm)
        if self._warm():
            frequencies, side = x.shape[1] * (x.shape[2] // 2 + 1), min(kernel.shape[2:])
            shape, dtype = (frequencies, side, side), jnp.result_type(kernel.dtype, jnp.complex64)
            last = self.variable(WARM_STARTS, "inverse", jnp.zeros, shape, dtype)
            y, m_inverse = cayley.warm_cayley_conv(x, kernel, alpha, bias, last.value, self.norm, self.transform)
            if self.is_mutable_collection(WARM_STARTS):
                last.value = m_inverse
            return y
        return cayley.cayley_conv(x, kernel, alpha, bias, self.norm, self.solver, self.transform)

    def prepare(self, free: Free, size: tuple[int, int], taps: tuple[int, int]) -> cayley.CayleyOperator | None:
        """Inverses at every frequency; nothing of the authors' form."""
        if self.compat == "authors":
            return None
        return cayley.prepare(free["kernel"], free["alpha"], free["bias"], size, self.norm, self.solver)

    def apply_operator(self, operator: Any, x: Float[Array, "n h w i"]) -> Float[Array, "n h w o"]:
        """See functional.cayley."""
        return cayley.apply(operator, x, self.transform)

    @classmethod
    def isometry(cls, matrix: Float[Array, "o i"], free: Free) -> Free:
        """The inverse Cayley transform of the matrix on the centre tap."""
        kh, kw = free["kernel"].shape[:2]
        kernel = cayley.isometry_kernel(matrix, (kh, kw))
        return {"kernel": kernel, "alpha": jnp.linalg.norm(kernel.ravel())}

    def _start(self, kernel: Float[Array, "g kh kw i o"], size: tuple[int, int]) -> Array:
        if self.alpha_init is None:
            alpha = jax.vmap(lambda one: cayley.kernel_norm(one, size, self.norm))(kernel)
        else:
            alpha = jnp.full(len(kernel), self.alpha_init)
        return (alpha if self.feature_group_count > 1 else alpha[0]).astype(kernel.dtype)

    def _warm(self) -> bool:
        available = self.has_variable(WARM_STARTS, "inverse") or self.is_mutable_collection(WARM_STARTS)
        return self.solver == "newton_schulz" and self.feature_group_count == 1 and available
