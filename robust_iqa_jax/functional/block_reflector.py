"""Orthogonal circular convolution by block reflectors, I - 2 V (V^H V)^-1 V^H at every frequency (BRO), never formed.
Source: Lai et al. 2025 (arXiv 2505.15174); V^H V from lag matrices as in functional/cayley_system.py."""

from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.functional.cayley_system import LagMatrices, inverse_systems, lag_matrices, product, spectral_solve
from robust_iqa_jax.functional.conv2d import circular_conv, circular_conv_adjoint
from robust_iqa_jax.functional.elementwise import over
from robust_iqa_jax.functional.spectral import frequencies, safe_root
from robust_iqa_jax.kernels.cayley_solve.api import Solver, factor, inverse
from robust_iqa_jax.kernels.cayley_solve.planes import Planes
from robust_iqa_jax.kernels.dft2.api import Transform, irfft2, rfft2


@partial(jax.tree_util.register_dataclass, data_fields=["inverse", "taps", "bias"], meta_fields=["size"])
@dataclass(frozen=True, eq=False)
class ReflectorOperator:
    """A block reflector prepared for one map size.

    Attributes:
      inverse: (V^H V)^-1, (F, r, r) in two planes, F = H (W//2 + 1).
      taps: (kh, kw, r, m) real taps of V, columns of length 1.
      bias: (out,).
      size: (H, W) that the inverse belongs to.
    """

    inverse: Planes
    taps: Float[Array, "kh kw r m"]
    bias: Float[Array, " o"]
    size: tuple[int, int]


def block_reflector_conv(
    x: Float[Array, "n h w i"],
    kernel: Float[Array, "kh kw r m"],
    features: int,
    solver: Solver = "auto",
    transform: Transform = "auto",
) -> Float[Array, "n h w o"]:
    """Convolve x with the block reflector whose V has these taps.

    y = x - 2 V z, (V^H V) z = V^H x: two small convolutions in space, one solve of side r per frequency. Channels that
    x lacks to m are zero, and those above `features` are dropped. The length of a column of V has no influence; where
    V(f) loses rank, y stays bounded and its isometry ends (see `_lags`).

    Args:
      x: (n, H, W, in).
      kernel: (kh, kw, r, m) free, m = max(in, features), r <= m the rank of what is reflected.
      features: out.
      solver, transform: see kernels.

    Returns:
      (n, H, W, out): an isometry of x for out >= in, a co-isometry otherwise.
    """
    if x.shape[0] == 0:
        return jnp.zeros((*x.shape[:3], features), x.dtype)
    n, h, w, ci = x.shape
    taps = _unit_columns(kernel)
    spectrum = rfft2(circular_conv_adjoint(x, taps[..., :ci]), transform)
    columns = spectrum.reshape(n, -1, taps.shape[2])
    z, _ = spectral_solve(_lags(taps), columns, frequencies((h, w)), partial(factor, solver=solver))
    return _reflected(x, irfft2(z.reshape(spectrum.shape), (h, w), transform), taps, features)


def prepare(
    kernel: Float[Array, "kh kw r m"], bias: Float[Array, " o"], size: tuple[int, int], solver: Solver = "auto"
) -> ReflectorOperator:
    """Everything that does not depend on the input, for maps of (H, W); arguments as of `block_reflector_conv`."""
    taps = _unit_columns(kernel)
    inverses = inverse_systems(_lags(taps), frequencies(size), lambda m: inverse(m, solver))
    return ReflectorOperator(inverses, taps, bias, size)


def apply(
    operator: ReflectorOperator, x: Float[Array, "n h w i"], transform: Transform = "auto"
) -> Float[Array, "n h w o"]:
    """Convolve x with a prepared reflector and add its bias.

    Raises:
      ValueError: x has another size than the operator.
    """
    if x.shape[1:3] != operator.size:
        raise ValueError(
            f"block reflector: prepared for maps of {operator.size}, got {x.shape[1:3]}; prepare it for this size"
        )
    features, ci = operator.bias.shape[0], x.shape[3]
    if x.shape[0] == 0:
        return jnp.zeros((*x.shape[:3], features), x.dtype)
    spectrum = rfft2(circular_conv_adjoint(x, operator.taps[..., :ci]), transform)
    z = product(operator.inverse, spectrum.reshape(x.shape[0], -1, spectrum.shape[-1])).reshape(spectrum.shape)
    y = _reflected(x, irfft2(z, operator.size, transform), operator.taps, features)
    return y + over(operator.bias.astype(y.dtype), y)


def _unit_columns(kernel: Array) -> Array:
    """Each of the r columns divided by its length; zero ones, as pruning leaves them, stay zero and reflect nothing."""
    length = jax.vmap(safe_root)(jnp.sum(kernel**2, axis=(0, 1, 3)))
    return kernel / jnp.where(length > 0, length, 1)[None, None, :, None]


def _lags(taps: Array) -> LagMatrices:
    """V^H V and one rounding of it on its diagonal, whose mean is 1 there: nothing to regular systems, and it keeps
    singular ones from being divided by."""
    none = jnp.zeros((*taps.shape[:3], taps.shape[2]), taps.dtype)
    lags = lag_matrices(none, taps)
    eye = jnp.eye(taps.shape[2], dtype=taps.dtype)
    return replace(lags, cosine=lags.cosine.at[0].add((jnp.finfo(taps.dtype).eps - 1) * eye))


def _reflected(x: Array, z: Array, taps: Array, features: int) -> Array:
    missing = max(0, features - x.shape[3])
    kept = jnp.pad(x[..., :features], ((0, 0), (0, 0), (0, 0), (0, missing)))
    return kept - 2 * circular_conv(z, taps[..., :features])
