"""Which way to invert the Cayley systems, how exact is it, and what do cheaper approximations cost in isometry?

    riqa bench solvers --case position6 tres --json rows.json

"inverse:..." rows time the inverse alone, relative error against float64 LAPACK. "...-conv" rows time a whole
convolution by an approximation, with its isometry error and its relative distance from the exact map.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jax import Array

from robust_iqa_jax.benchmarks.cases import CASES, Case, maps, parameters
from robust_iqa_jax.benchmarks.machine import ceilings
from robust_iqa_jax.benchmarks.measure import Row, measure, relative_error, timed_row
from robust_iqa_jax.benchmarks.rows import Output, publish
from robust_iqa_jax.functional import cayley
from robust_iqa_jax.functional.approximate_cayley import (
    band_limited_cayley_conv,
    bfloat16_cayley_conv,
    truncated_cayley_conv,
)
from robust_iqa_jax.functional.cayley_system import lag_matrices, systems
from robust_iqa_jax.functional.spectral import frequencies
from robust_iqa_jax.kernels.cayley_solve.api import SOLVERS
from robust_iqa_jax.kernels.cayley_solve.closed_form import LARGEST
from robust_iqa_jax.kernels.cayley_solve.newton_schulz import newton_schulz

APPROXIMATIONS: dict[str, Callable[..., Array]] = {
    "exact-conv": cayley.cayley_conv,
    "band-limited-0.5-conv": partial(band_limited_cayley_conv, keep=0.5),
    "band-limited-0.75-conv": partial(band_limited_cayley_conv, keep=0.75),
    "newton-schulz-6-conv": partial(truncated_cayley_conv, steps=6),
    "newton-schulz-10-conv": partial(truncated_cayley_conv, steps=10),
    "bfloat16-newton-schulz-10-conv": partial(bfloat16_cayley_conv, steps=10),
}


@dataclass(frozen=True)
class Args:
    """Which shapes, at which scale."""

    case: tuple[str, ...] = ("position6",)
    """Shapes, as for robust_block."""
    batch: tuple[int, ...] = (1,)
    """Of the approximations; the inverse knows no batch."""
    alpha: tuple[float, ...] = (1.0,)
    """Scale of the kernel as a multiple of its norm: the larger, the worse conditioned the systems."""
    repeats: int = 5
    output: tyro.conf.OmitArgPrefixes[Output] = field(default_factory=Output)


def main(args: Args) -> list[Row]:
    """Measure, print and write the rows.

    Raises:
      ValueError: unknown case.
    """
    if unknown := [name for name in args.case if name not in CASES]:
        raise ValueError(f"--case {unknown[0]}: unknown; choose among {', '.join(CASES)}")
    limits, rows = ceilings(), []
    for name in args.case:
        for alpha in args.alpha:
            rows += inverse_rows(CASES[name], alpha, args.repeats)
            for batch in args.batch:
                rows += _approximations(CASES[name], alpha, batch, args.repeats)
    publish("solvers", "Inverses of the Cayley system, exact and approximate", rows, limits, args.output)
    return rows


def inverse_rows(case: Case, alpha: float, repeats: int) -> list[Row]:
    """Every solver on the systems of a case, held to LAPACK's in float64."""
    drawn = parameters(case)
    square, rectangular, _ = cayley.split(jnp.asarray(alpha * drawn.kernel, jnp.float32))
    angles = frequencies((case.side, case.side))
    matrices = jax.jit(lambda s, r: systems(lag_matrices(s, r), angles))(square, rectangular)
    side = matrices.shape[-1]
    every = max(1, len(matrices) * side // 20000)  # float64 LAPACK on some of the frequencies is enough to compare with
    expected = np.linalg.inv(np.asarray(matrices[::every], np.complex128))
    solvers: dict[str, Callable[[Array], Array]] = {
        name: solve for name, solve in SOLVERS.items() if name != "closed_form" or side <= LARGEST
    }
    warm = jax.jit(SOLVERS["block"])(1.001 * matrices)  # as after a small step of the optimiser
    solvers["newton_schulz_warm"] = lambda m: newton_schulz(m, warm).inverse
    rows = []
    for name, solve in solvers.items():
        timing = measure(solve, matrices, repeats=repeats)
        error = relative_error(timing.result[::every], expected)
        rows.append(timed_row(f"{case.name}, alpha {alpha:g}", f"inverse:{name}", 0, "forward", timing, error))
    return rows


def _approximations(case: Case, alpha: float, batch: int, repeats: int) -> list[Row]:
    drawn, x = parameters(case), maps(case, batch)
    free = tuple(jnp.asarray(v, jnp.float32) for v in (drawn.kernel, alpha * drawn.alpha, 0 * drawn.bias))
    rows, exact = [], None
    for name, convolve in APPROXIMATIONS.items():
        timing = measure(convolve, x, *free, repeats=repeats)
        y = np.asarray(timing.result, np.float64)
        exact = y if exact is None else exact
        lengths = [np.linalg.norm(np.asarray(v, np.float64).reshape(batch, -1), axis=1) for v in (y, x)]
        isometry = float(np.abs(lengths[0] / lengths[1] - 1).max())
        error = relative_error(y, exact)
        rows.append(timed_row(f"{case.name}, alpha {alpha:g}", name, batch, "forward", timing, error, isometry))
    return rows
