"""Inverses and factors of the Cayley systems M(f): one choice of method over the implementations of this folder.
Measured by benchmarks/solvers.py; the choice is the only thing that this file decides."""

from collections.abc import Callable
from typing import Literal, get_args

from jaxtyping import Array, Complex, Float

from robust_iqa_jax.kernels.cayley_solve.block_factor import Factor, block_factor
from robust_iqa_jax.kernels.cayley_solve.block_inverse import block_inverse
from robust_iqa_jax.kernels.cayley_solve.closed_form import LARGEST, closed_form_inverse
from robust_iqa_jax.kernels.cayley_solve.newton_schulz import newton_schulz_inverse
from robust_iqa_jax.kernels.cayley_solve.planes import Planes, join, split
from robust_iqa_jax.kernels.cayley_solve.reference import lu_inverse

Solver = Literal["auto", "block", "closed_form", "newton_schulz", "lu"]

SOLVERS: dict[str, Callable[[Array], Array]] = {
    "block": block_inverse,
    "closed_form": closed_form_inverse,
    "newton_schulz": newton_schulz_inverse,
    "lu": lu_inverse,
}


def choose(side: int, solver: Solver = "auto") -> str:
    """The solver itself; of "auto" what it means for matrices of this side, on every platform (see kernels/README.md).

    Raises:
      ValueError: unknown solver.
    """
    if solver not in get_args(Solver):
        raise ValueError(f"cayley_solve: unknown solver {solver!r}; choose one of {', '.join(get_args(Solver))}")
    if solver == "auto":
        return "closed_form" if side <= LARGEST else "block"
    return solver


def inverse(
    matrices: Complex[Array, "*f c c"] | Float[Array, "*f c c"], solver: Solver = "auto"
) -> Complex[Array, "*f c c"] | Float[Array, "*f c c"]:
    """Inverse of matrices whose Hermitian part is at least the identity, as Cayley systems are.

    Args:
      matrices: (*f, c, c), float32/complex64 or wider.
      solver: "block" (matrix products, no pivoting), "closed_form" (c <= 3), "newton_schulz" (matrix products, checked,
        falls back to "block"), "lu" (LAPACK's; not for jitted programs on CPU), or "auto".

    Returns:
      (*f, c, c), same dtype.

    Raises:
      ValueError: unknown solver, or "closed_form" for c > 3.
    """
    return SOLVERS[choose(matrices.shape[-1], solver)](matrices)


def factor(matrices: Planes, solver: Solver = "auto") -> Factor:
    """What `block_factor.solve` takes: factors where the solver is "block", inverses by the others.

    Args:
      matrices: (*f, c, c), as of `inverse`.
      solver: as of `inverse`.

    Raises:
      ValueError: as `inverse`.
    """
    if choose(matrices.real.shape[-1], solver) == "block":
        return block_factor(matrices)
    return split(inverse(join(matrices), solver))
