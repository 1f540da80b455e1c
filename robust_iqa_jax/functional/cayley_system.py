"""The systems M(f) = I + U - U^H + V^H V of a Cayley convolution, their inverses, and z = M^-1 x with its gradient.
Built from a few real lag matrices, in blocks of frequencies that fit a CPU's cache; derivation in ARCHITECTURE.md."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, PyTree

from robust_iqa_jax.functional.elementwise import over
from robust_iqa_jax.functional.spectral import HIGHEST, half_lags, lag_gram, tap_offsets
from robust_iqa_jax.kernels.cayley_solve.block_factor import Factor, solve, solve_transposed
from robust_iqa_jax.kernels.cayley_solve.planes import Planes, join, product_with_few, split

Tree = TypeVar("Tree")
Phases = Array | np.ndarray
"""Cosines or sines (f, lags)."""

Elimination = Callable[..., Factor]
"""How systems are solved: (systems, optional approximate inverses) -> factors of kernels.cayley_solve.block_factor."""


def by_inverse(invert: Callable[..., Array]) -> Elimination:
    """Elimination by a solver that gives complex inverses."""
    return lambda systems, *near: split(invert(join(systems), *near))


CACHE_BYTES = 4 << 20
"""Systems that a CPU treats at a time: the passes of an elimination over them then stay in cache (measured 1.4 times
faster at 200 channels than over all frequencies at once). Accelerators take all frequencies together."""

FEW_MAPS = 2
"""Maps up to which the gradient of the lag matrices is one product; its work grows with the batch, and at 200 channels
the way through the systems' cotangents is cheaper from 3 on."""


@partial(jax.tree_util.register_dataclass, data_fields=["cosine", "sine"], meta_fields=["kernel_size"])
@dataclass(frozen=True, eq=False)
class LagMatrices:
    """M(f) - I as a short Fourier series: sum over lags d of cosine_d cos(theta_f d) + i sine_d sin(theta_f d).

    Attributes:
      cosine: (lags, c, c) real; the zero lag carries its half.
      sine: (lags - 1, c, c) real; the zero lag has none.
      kernel_size: (kh, kw) that the lags belong to.
    """

    cosine: Float[Array, "lags c c"]
    sine: Float[Array, "lags1 c c"]
    kernel_size: tuple[int, int]


def lag_matrices(square: Float[Array, "kh kw c c"], rectangular: Float[Array, "kh kw c d"]) -> LagMatrices:
    """Lag matrices from taps: cosine parts are sym(G_d) + skew(U_d + U_-d), sine parts the other halves, twice each.

    Args:
      square: (kh, kw, c, c): taps of U (layout in, out).
      rectangular: (kh, kw, c, d): taps of V.

    Returns:
      see LagMatrices.
    """
    kh, kw, side, _ = square.shape
    lags = half_lags((kh, kw))
    gram = lag_gram(rectangular)
    index = {tuple(offset): i for i, offset in enumerate(tap_offsets((kh, kw)).tolist())}
    u = square.reshape(kh * kw, side, side).swapaxes(-1, -2)
    zero = jnp.zeros((side, side), square.dtype)

    def tap(row: int, column: int) -> Array:
        at = index.get((row, column))
        return zero if at is None else u[at]

    plus = jnp.stack([tap(r, c) for r, c in lags.tolist()])
    minus = jnp.stack([tap(-r, -c) for r, c in lags.tolist()])
    even, odd = plus + minus, plus - minus
    cosine = gram + gram.swapaxes(-1, -2) + even - even.swapaxes(-1, -2)
    sine = gram - gram.swapaxes(-1, -2) + odd + odd.swapaxes(-1, -2)
    half = np.where(np.arange(len(lags)) == 0, 0.5, 1.0).astype(square.dtype)  # lag 0 has no partner: count it once
    return LagMatrices(cosine * half[:, None, None], sine[1:], (kh, kw))


def systems(lags: LagMatrices, angles: Float[np.ndarray, "f 2"]) -> Complex[Array, "f c c"]:
    """M(f) at the given angular frequencies; Re(v^H M v) >= |v|^2."""
    return join(_systems(lags, *_phases(lags, angles)))


def inverse_systems(lags: LagMatrices, angles: Float[np.ndarray, "f 2"], invert: Callable[[Array], Array]) -> Planes:
    """M(f)^-1 at the given angular frequencies, (F, c, c), by a solver for complex matrices."""
    blocks = _Blocks.of(lags, len(angles))

    def of_block(cos: Phases, sin: Phases) -> Planes:
        return split(invert(join(_systems(lags, cos, sin))))

    inverses = blocks.map(of_block, *blocks.padded(_phases(lags, angles)))
    return Planes(inverses.real[: len(angles)], inverses.imag[: len(angles)])


def spectral_solve(
    lags: LagMatrices,
    spectrum: Complex[Array, "n f c"],
    angles: Float[np.ndarray, "f 2"],
    elimination: Elimination,
    start: Complex[Array, "f c c"] | None = None,
    transpose: bool = False,
) -> tuple[Complex[Array, "n f c"], Factor]:
    """z = M^-1 x (M^-T x with `transpose`) at every frequency, and the factors of M.

    Derivatives, forward and backward, reuse the factors and differentiate no elimination: they take them for exact.
    Neither pass holds more than the factors, the systems and their cotangents exist a block at a time on CPU. No
    gradient flows through the returned factors.

    Args:
      lags: from `lag_matrices`.
      spectrum: (n, F, c).
      angles: (F, 2) radians per pixel.
      elimination: how the systems are solved.
      start: approximate inverses, for eliminations that take them.
      transpose: solve with the plain transpose of M.

    Returns:
      z (n, F, c) and the factors, leaves (F or more, ...): identities may fill up the last block.
    """
    blocks = _Blocks.of(lags, len(angles))
    system = _System(blocks, *blocks.padded(_phases(lags, angles)), elimination, transpose)
    near = () if start is None else blocks.padded((jax.lax.stop_gradient(start),))
    z, factors = _solved(system, lags, blocks.padded(split(spectrum.transpose(1, 2, 0))), near)
    return join(z)[: len(angles)].transpose(2, 0, 1), jax.lax.stop_gradient(factors)


@dataclass(frozen=True, eq=False)
class _System:
    """What of M z = x, or of M^T z = x, has no derivatives: where the frequencies are and how it is solved."""

    blocks: "_Blocks"
    cos: Float[np.ndarray, "f lags"]
    sin: Float[np.ndarray, "f lags1"]
    elimination: Elimination
    transpose: bool

    def solve(self, factors: Factor, columns: Planes) -> Planes:
        return (solve_transposed if self.transpose else solve)(factors, columns)

    def solve_adjoint(self, factors: Factor, columns: Planes) -> Planes:
        """With the Hermitian transpose, which is the transpose of the real map of planes."""
        return _conj((solve if self.transpose else solve_transposed)(factors, _conj(columns)))


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _solved(system: _System, lags: LagMatrices, columns: Planes, near: tuple[Array, ...]) -> tuple[Planes, Factor]:
    def of_block(cos: Phases, sin: Phases, columns: Planes, *near: Array) -> tuple[Planes, Factor]:
        factors = system.elimination(_systems(lags, cos, sin), *near)
        return system.solve(factors, columns), factors

    return system.blocks.map(of_block, system.cos, system.sin, columns, *near)


@_solved.defjvp
def _solved_jvp(
    system: _System,
    primals: tuple[LagMatrices, Planes, tuple[Array, ...]],
    tangents: tuple[LagMatrices, Planes, tuple[Array, ...]],
) -> tuple[tuple[Planes, Factor], tuple[Planes, Factor]]:
    """M z = x gives M dz = dx - dM z: solved with the factors at hand, and transposed with them."""
    z, factors = _solved(system, *primals)
    (lags, _, _), (lags_dot, columns_dot, _) = primals, tangents
    z_dot = jax.lax.custom_linear_solve(
        lambda x: x + _changed_product(system, lags, x),
        columns_dot - _changed_product(system, lags_dot, z),
        lambda _, x: system.solve(factors, x),
        lambda _, x: system.solve_adjoint(factors, x),
    )
    return (z, factors), (z_dot, jax.tree.map(jnp.zeros_like, factors))


def product(matrices: Planes, spectrum: Complex[Array, "n f j"]) -> Complex[Array, "n f i"]:
    """Matrix of each frequency times the spectrum of each map."""
    y = product_with_few(matrices, split(spectrum.transpose(1, 2, 0)))
    return join(y).transpose(2, 0, 1)


def _changed_product(system: _System, lags: LagMatrices, z: Planes) -> Planes:
    """(M - I) z of some lag matrices, linear in both; what it is written for is its transposes.

    Of few maps the lag matrices are applied one by one: then their gradient is one product over all frequencies, less
    work than through the cotangents of the systems themselves.
    """
    cosine, sine = (m.swapaxes(-1, -2) if system.transpose else m for m in (lags.cosine, lags.sine))
    maps = z.real.shape[-1]
    if maps <= FEW_MAPS:
        real = jnp.concatenate([z.real, z.imag], axis=-1)
        imag = jnp.concatenate([-z.imag, z.real], axis=-1)

        def of_lags(phase: Phases, matrices: Array, columns: Array) -> Array:
            each = jnp.einsum("lij,fjk->lifk", matrices, columns, precision=HIGHEST)
            return jnp.einsum("fl,lifk->fik", phase, each, precision=HIGHEST)

        y = of_lags(system.cos, cosine, real) + of_lags(system.sin, sine, imag)
        return Planes(y[..., :maps], y[..., maps:])

    def of_block(cos: Phases, sin: Phases, z: Planes) -> Planes:
        return product_with_few(_changes(cosine, sine, cos, sin), z)

    return system.blocks.map(of_block, system.cos, system.sin, z)


def _conj(x: Planes) -> Planes:
    return Planes(x.real, -x.imag)


@dataclass(frozen=True)
class _Blocks:
    """Frequencies in blocks of one size, the last filled up with rows of zeros, whose systems are the identity.
    What is filled up stays so between the passes: cutting and filling large arrays costs a CPU a copy each."""

    count: int
    size: int

    @classmethod
    def of(cls, lags: LagMatrices, count: int) -> "_Blocks":
        """What fits the cache, the last block as full as the others."""
        side, itemsize = lags.cosine.shape[-1], lags.cosine.dtype.itemsize
        most = max(1, CACHE_BYTES // (2 * itemsize * side * side))
        blocks = -(-count // most)
        return cls(blocks, -(-count // blocks))

    def padded(self, arrays: Tree) -> Tree:
        """Arrays of frequencies with rows of zeros behind."""

        def pad(a: Array | np.ndarray) -> Array | np.ndarray:
            where = np if isinstance(a, np.ndarray) else jnp
            return where.pad(a, [(0, self.count * self.size - len(a))] + [(0, 0)] * (a.ndim - 1))

        return jax.tree.map(pad, arrays)

    def map(self, function: Callable[..., Tree], *arguments: PyTree[Array | np.ndarray]) -> Tree:
        """function over padded frequencies: block after block on CPU, else at once."""
        if self.count == 1:
            return function(*arguments)

        def in_blocks(*arguments: PyTree[Array]) -> Tree:
            blocks = jax.tree.map(lambda a: a.reshape(self.count, self.size, *a.shape[1:]), arguments)
            result = jax.lax.map(lambda block: function(*block), blocks)
            return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), result)

        return jax.lax.platform_dependent(*arguments, cpu=in_blocks, default=function)


def _systems(lags: LagMatrices, cos: Phases, sin: Phases) -> Planes:
    real, imag = _changes(lags.cosine, lags.sine, cos, sin)
    return Planes(real + over(jnp.eye(real.shape[-1], dtype=real.dtype), real), imag)


def _changes(cosine: Array, sine: Array, cos: Phases, sin: Phases) -> Planes:
    """M - I at some phases."""
    side = cosine.shape[-1]
    flat = [a.reshape(-1, side * side) for a in (cosine, sine)]
    return Planes(*(_matmul(p, a).reshape(-1, side, side) for p, a in zip((cos, sin), flat, strict=True)))


def _phases(lags: LagMatrices, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Constants, not traced arrays: under jax.checkpoint the backward pass is another trace than the forward one."""
    angle = angles @ half_lags(lags.kernel_size).T
    dtype = lags.cosine.dtype
    return np.cos(angle).astype(dtype), np.sin(angle[:, 1:]).astype(dtype)


def _matmul(x: Phases, y: Array) -> Array:
    return jnp.matmul(x, y, precision=HIGHEST)
