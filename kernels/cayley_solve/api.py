"""Inverse of the Cayley system M(f): one entry point over the implementations of this folder.
Benchmarked in benchmarks/; the choice of method is the only thing that this file decides."""

from collections.abc import Callable
from typing import Literal

from jaxtyping import Array, Complex, Float

from robust_iqa_jax.kernels.cayley_solve.block_inverse import block_inverse
from robust_iqa_jax.kernels.cayley_solve.reference import lu_inverse

Method = Literal["block", "lu"]
METHODS: dict[str, Callable[[Array], Array]] = {"block": block_inverse, "lu": lu_inverse}


def inverse(
    matrices: Complex[Array, "*f c c"] | Float[Array, "*f c c"], method: Method = "block"
) -> Complex[Array, "*f c c"] | Float[Array, "*f c c"]:
    """Inverse of matrices whose Hermitian part is at least the identity, as Cayley systems are.

    Args:
      matrices: (*f, c, c), float32/complex64 or wider.
      method: "block" (matrix products only, every platform, the default) or "lu" (reference).

    Returns:
      (*f, c, c), same dtype.

    Raises:
      ValueError: unknown method.
    """
    if method not in METHODS:
        raise ValueError(f"cayley_solve: unknown method {method!r}; choose one of {sorted(METHODS)}")
    return METHODS[method](matrices)
