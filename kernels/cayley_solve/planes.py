"""Complex matrices as two real planes: products by three real ones, no interleaving between the steps of a solver.
The three products are Gauss's; a CPU's complex product has two thirds of a real one's rate, accelerators have none."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float


class Planes(NamedTuple):
    """Real and imaginary parts, equal in shape."""

    real: Float[Array, "..."]
    imag: Float[Array, "..."]

    def __add__(self, other: "Planes") -> "Planes":  # pyright: ignore[reportIncompatibleMethodOverride]
        return Planes(self.real + other.real, self.imag + other.imag)

    def __sub__(self, other: "Planes") -> "Planes":
        return Planes(self.real - other.real, self.imag - other.imag)

    def __neg__(self) -> "Planes":
        return Planes(-self.real, -self.imag)

    @property
    def mT(self) -> "Planes":
        """Plain transpose of the last two axes."""
        return Planes(self.real.swapaxes(-1, -2), self.imag.swapaxes(-1, -2))

    def part(self, rows: slice, columns: slice = slice(None)) -> "Planes":
        """Block of the last two axes."""
        return Planes(self.real[..., rows, columns], self.imag[..., rows, columns])


def split(x: Complex[Array, "..."]) -> Planes:
    """Planes of a complex array."""
    return Planes(x.real, x.imag)


def join(x: Planes) -> Complex[Array, "..."]:
    """Complex array of planes."""
    return jax.lax.complex(x.real, x.imag)


def stack(blocks: list[list[Planes]]) -> Planes:
    """Matrix of blocks, given row by row; blocks of one column stay as they are along it."""

    def plane(i: int) -> Array:
        rows = [row[0][i] if len(row) == 1 else jnp.concatenate([b[i] for b in row], axis=-1) for row in blocks]
        return jnp.concatenate(rows, axis=-2)

    return Planes(plane(0), plane(1))


def product(x: Planes, y: Planes) -> Planes:
    """Matrix product x y: with p = xr yr, q = xi yi the parts are p - q and (xr + xi)(yr + yi) - p - q."""
    p, q = _matmul(x.real, y.real), _matmul(x.imag, y.imag)
    both = _matmul(x.real + x.imag, y.real + y.imag)
    return Planes(p - q, both - p - q)


def product_with_few(x: Planes, y: Planes) -> Planes:
    """Matrix product x y where y has few columns: x is what costs, and is read once."""
    columns = y.real.shape[-1]
    side_by_side = jnp.concatenate([y.real, y.imag], axis=-1)
    real, imag = _matmul(x.real, side_by_side), _matmul(x.imag, side_by_side)
    return Planes(real[..., :columns] - imag[..., columns:], real[..., columns:] + imag[..., :columns])


def transposed_product_with_few(x: Planes, y: Planes) -> Planes:
    """Matrix product x^T y (plain transpose) where y has few columns.

    Of one or two columns sums over rows: a CPU's product with a transposed matrix takes two to three times as long.
    """
    if y.real.shape[-1] > 2:
        return product_with_few(x.mT, y)
    columns = [y.part(slice(None), slice(i, i + 1)) for i in range(y.real.shape[-1])]
    real = [(x.real * c.real - x.imag * c.imag).sum(-2) for c in columns]
    imag = [(x.real * c.imag + x.imag * c.real).sum(-2) for c in columns]
    return Planes(jnp.stack(real, -1), jnp.stack(imag, -1))


def _matmul(x: Array, y: Array) -> Array:
    # 'highest': TPU and TF32 defaults would lose the orthogonality that the whole construction is for.
    return jnp.matmul(x, y, precision=jax.lax.Precision.HIGHEST)
