"""CayleyConv: the orthogonal circular convolution of the RobustBlock as a Linen module.
Source: arXiv 2506.04951; mathematics in functional/cayley.py."""

import math
from functools import partial
from typing import Any, Literal, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float

from robust_iqa_jax.functional import cayley
from robust_iqa_jax.functional.authors_cayley import authors_cayley_conv
from robust_iqa_jax.functional.elementwise import as_float
from robust_iqa_jax.functional.map_resize import space_to_depth
from robust_iqa_jax.kernels.cayley_solve.api import Solver
from robust_iqa_jax.kernels.dft2.api import Transform
from robust_iqa_jax.layers.initializers import fan_in_uniform

OPERATORS = "operators"
"""Variable collection of prepared operators (inference): apply with mutable=[OPERATORS] to fill it, then give it in
place of the parameters. Where a layer's parameters are given too they count and its operator is not looked at, since it
could have been made from others."""
WARM_STARTS = "warm_starts"
"""Variable collection that holds the last inverse for solver="newton_schulz": give it and make it mutable in training,
so that each step starts where the last one ended; without it every step starts cold."""

Compat = Literal["exact", "authors"]


class CayleyConv(nn.Module):
    """Orthogonal convolution: an isometry for features >= input channels, non-expansive otherwise; any H x W.

    Parameters: `kernel` (kh, kw, in, out), `alpha` (scalar), `bias` (out). The spectral part runs in the wider of the
    input's and the parameters' type, float32 or wider; the output has the input's type, float32 for integers.

    Attributes:
      features: output channels.
      kernel_size: (kh, kw), or one number for both.
      norm: "taps" (size-independent scaling) or "spectrum" (the papers'); see functional.cayley.scaled_kernel.
      alpha_init: start of alpha; None starts at the norm, so that the scaled kernel is the kernel. The paper's authors
        run 1.0 with norm="spectrum".
      stride: 1, or 2: patches of 2 x 2 become channels, the kernel's sides are halved (at least 1), and the convolution
        of stride 1 follows (arXiv 2104.07167); an isometry for features >= 4 in.
      solver: of the Cayley system, see kernels.cayley_solve; "newton_schulz" can be warm-started, see WARM_STARTS.
      transform: see kernels.dft2.
      compat: "authors" loses a column of odd widths, as the published code does; for anchors only.
    """

    features: int
    kernel_size: int | tuple[int, int] = (3, 3)
    norm: cayley.Norm = "taps"
    alpha_init: float | None = None
    stride: int = 1
    solver: Solver = "auto"
    transform: Transform = "auto"
    compat: Compat = "exact"

    @nn.compact
    def __call__(self, x: Float[Array, "*n h w i"]) -> Float[Array, "*n h2 w2 o"]:
        """Convolve x (..., h, w, in) to (..., h / stride, w / stride, features), with a prepared operator where there
        is one in place of the parameters.

        Raises:
          ValueError: maps without pixels or channels, features below 1, a kernel size below 1, a stride but 1 and 2,
            stride 2 on a map of odd sides, an unknown compat, or a prepared operator of another map size.
        """
        if self.stride not in (1, 2):
            raise ValueError(f"CayleyConv: stride must be 1 or 2, got {self.stride}")
        if self.compat not in get_args(Compat):
            raise ValueError(f"CayleyConv: unknown compat {self.compat!r}; choose one of {list(get_args(Compat))}")
        if x.ndim < 3 or 0 in x.shape[-3:]:
            raise ValueError(
                f"CayleyConv: maps (..., height, width, channels) of at least 1 x 1 x 1 expected, got shape {x.shape}"
            )
        taps = (self.kernel_size,) * 2 if isinstance(self.kernel_size, int) else tuple(self.kernel_size)
        if self.features < 1 or len(taps) != 2 or min(taps) < 1:
            raise ValueError(
                f"CayleyConv: features and both sides of the kernel must be at least 1, got features {self.features}, "
                f"kernel_size {self.kernel_size}"
            )
        maps = as_float(x).reshape(-1, *x.shape[-3:])
        if self.stride == 2:
            maps, taps = space_to_depth(maps), (max(1, taps[0] // 2), max(1, taps[1] // 2))
        y = self._convolve(maps.astype(jnp.promote_types(maps.dtype, jnp.float32)), taps)
        return y.reshape(*x.shape[:-3], *y.shape[1:]).astype(maps.dtype)

    def _convolve(self, x: Array, taps: tuple[int, int]) -> Array:
        size = (x.shape[1], x.shape[2])
        if self.has_variable(OPERATORS, "operator") and not self.has_variable("params", "kernel"):
            return cayley.apply(_fixed(self.get_variable(OPERATORS, "operator")), x, self.transform)
        fan_in = math.prod(taps) * x.shape[-1]
        kernel = self.param("kernel", fan_in_uniform(fan_in), (*taps, x.shape[-1], self.features))
        start = cayley.kernel_norm(kernel, size, self.norm) if self.alpha_init is None else jnp.asarray(self.alpha_init)
        alpha = self.param("alpha", lambda _: start.astype(kernel.dtype))
        bias = self.param("bias", fan_in_uniform(fan_in), (self.features,))
        wide = jnp.promote_types(x.dtype, kernel.dtype)
        x, kernel, alpha, bias = (a.astype(wide) for a in (x, kernel, alpha, bias))
        if self.compat == "authors":
            return authors_cayley_conv(x, kernel, alpha, bias, self.norm)
        if self.is_mutable_collection(OPERATORS) and not self.is_initializing():
            operator = cayley.prepare(kernel, alpha, bias, size, self.norm, self.solver)
            self.put_variable(OPERATORS, "operator", operator)
            return cayley.apply(operator, x, self.transform)
        if self.solver == "newton_schulz" and (
            self.has_variable(WARM_STARTS, "inverse") or self.is_mutable_collection(WARM_STARTS)
        ):
            frequencies, side = size[0] * (size[1] // 2 + 1), min(kernel.shape[2:])
            shape, dtype = (frequencies, side, side), jnp.result_type(kernel.dtype, jnp.complex64)
            last = self.variable(WARM_STARTS, "inverse", jnp.zeros, shape, dtype)
            y, m_inverse = cayley.warm_cayley_conv(x, kernel, alpha, bias, last.value, self.norm, self.transform)
            if self.is_mutable_collection(WARM_STARTS):
                last.value = m_inverse
            return y
        return cayley.cayley_conv(x, kernel, alpha, bias, self.norm, self.solver, self.transform)


@jax.custom_jvp
def _fixed(operator: cayley.CayleyOperator) -> cayley.CayleyOperator:
    """The operator itself, which has no derivatives: what a step along them leads to is not orthogonal any more."""
    return operator


@partial(_fixed.defjvp, symbolic_zeros=True)
def _fixed_jvp(primals: Any, tangents: Any) -> Any:
    if any(type(leaf) is not SymbolicZero for leaf in jax.tree.leaves(tangents, is_leaf=_is_symbolic_zero)):
        raise ValueError(
            "CayleyConv: derivatives in a prepared operator asked for; take them in the parameters that it was "
            "prepared from (of the Scorer, not of its prepare())"
        )
    return primals[0], jax.tree.map(lambda leaf: jnp.zeros_like(leaf), primals[0])


def _is_symbolic_zero(leaf: Any) -> bool:
    return type(leaf) is SymbolicZero
