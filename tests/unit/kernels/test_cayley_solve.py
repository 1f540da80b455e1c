"""Every solver of the Cayley system against float64 numpy, and what the iterative one does when it is badly started."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_models import quick_jit

from robust_iqa_jax.kernels.cayley_solve import planes
from robust_iqa_jax.kernels.cayley_solve.api import choose, factor, inverse
from robust_iqa_jax.kernels.cayley_solve.block_factor import Blocks, block_factor, solve, solve_transposed
from robust_iqa_jax.kernels.cayley_solve.newton_schulz import newton_schulz, truncated_newton_schulz

jitted_inverse = quick_jit(inverse, static_argnums=1)


def cayley_systems(side, scale=3.0, count=4, seed=0):
    """Systems M = I + U - U^H + V^H V, complex128, from spectra of the given size."""
    rng = np.random.default_rng(seed)
    w = rng.normal(size=(count, 3 * side, side)) + 1j * rng.normal(size=(count, 3 * side, side))
    w *= scale / np.sqrt(side)
    u, v = w[:, :side], w[:, side:]
    return np.eye(side) + u - np.conj(u).swapaxes(1, 2) + np.conj(v).swapaxes(1, 2) @ v


# one row and column, a pivoted elimination, blocks of two and three levels
SIDES = {"block": (1, 5, 27, 61), "lu": (5,), "newton_schulz": (1, 17), "closed_form": (1, 2, 3)}


@pytest.mark.parametrize(("solver", "side"), [(solver, side) for solver, sides in SIDES.items() for side in sides])
def test_every_solver_inverts_cayley_systems(solver, side):
    m = np.concatenate([cayley_systems(side, scale) for scale in (0.1, 3.0)])
    result = jitted_inverse(jnp.asarray(m, jnp.complex64), solver)
    # float32 rounding at condition numbers of some tens
    np.testing.assert_allclose(result, np.linalg.inv(m), atol=2e-5)


@pytest.mark.parametrize("solver", ["block", "closed_form", "newton_schulz"])
def test_solvers_keep_the_precision_and_the_realness_of_their_argument(solver):
    m = cayley_systems(3)
    real = m.real + 3 * np.eye(3)
    with jax.enable_x64(True):
        results = quick_jit(lambda *both: [inverse(matrices, solver) for matrices in both])(m, real)
    for result, matrices in zip(results, (m, real), strict=True):
        assert result.dtype == matrices.dtype
        np.testing.assert_allclose(result, np.linalg.inv(matrices), atol=1e-6 if solver == "newton_schulz" else 1e-13)


def test_auto_takes_cofactors_up_to_three_channels_and_blocks_above():
    assert [choose(side) for side in (1, 3, 4, 200)] == ["closed_form", "closed_form", "block", "block"]
    assert choose(3, "block") == "block"


@pytest.mark.parametrize(("solver", "side", "factored"), [("auto", 3, False), ("auto", 51, True), ("lu", 51, False)])
def test_systems_are_factored_where_the_solver_is_block_and_inverted_where_it_is_another(solver, side, factored):
    real = jax.ShapeDtypeStruct((4, side, side), jnp.float32)
    result = jax.eval_shape(lambda m: factor(m, solver), planes.Planes(real, real))
    assert isinstance(result, Blocks if factored else planes.Planes)


jitted_newton_schulz = quick_jit(newton_schulz, static_argnames="max_steps")


def test_warm_start_needs_few_steps_and_a_wrong_one_is_not_used():
    m = cayley_systems(17)
    single = jnp.asarray(m, jnp.complex64)
    near, wrong, zero = (
        jitted_newton_schulz(single, jnp.asarray(start, jnp.complex64))
        for start in (np.linalg.inv(m * 1.01), 100 * np.ones_like(m), np.zeros_like(m))
    )
    assert int(near.steps) == 2  # a residual of 1e-2 squares itself to 1e-4, then to less than the tolerance
    assert int(near.steps) < int(zero.steps) == int(wrong.steps)
    for result in (near, wrong, zero):
        assert not result.fell_back
        assert float(result.residual) <= 1e-5


def test_iteration_that_does_not_converge_is_replaced_by_the_block_inverse():
    m = cayley_systems(17)
    result = jitted_newton_schulz(jnp.asarray(m, jnp.complex64), max_steps=2)
    assert result.fell_back
    assert int(result.steps) == 2
    assert float(result.residual) > 1e-2
    np.testing.assert_allclose(result.inverse, np.linalg.inv(m), atol=2e-5)


def test_truncated_iteration_comes_closer_with_every_step():
    m, run = cayley_systems(17), quick_jit(truncated_newton_schulz)
    errors = [np.linalg.norm(np.eye(17) - m @ run(jnp.asarray(m, jnp.complex64), steps)) for steps in (2, 4, 8, 16)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-3 < 1 < errors[0]


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="unknown solver 'qr'; choose one of auto, block"):
        inverse(jnp.eye(2)[None], "qr")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="at most 3 x 3 matrices, got 4 x 4"):
        inverse(jnp.eye(4)[None], "closed_form")


# a leaf, two levels of odd sides in the precision of training, and a leaf that is inverted in blocks
@pytest.mark.parametrize(
    ("side", "leaf", "precision"), [(5, 5, "float64"), (17, 4, "float64"), (61, 16, "float32"), (27, 27, "float64")]
)
def test_factors_solve_with_the_matrix_and_its_transpose(side, leaf, precision):
    m = cayley_systems(side)
    rng = np.random.default_rng(1)
    columns = rng.normal(size=(4, side, 3)) + 1j * rng.normal(size=(4, side, 3))
    with jax.enable_x64(precision == "float64"):
        cast = lambda a: planes.split(jnp.asarray(a, jnp.result_type(precision, jnp.complex64)))  # noqa: E731

        @quick_jit
        def both(m, columns):
            factor = block_factor(m, leaf)
            return planes.join(solve(factor, columns)), planes.join(solve_transposed(factor, columns))

        there, back = both(cast(m), cast(columns))
        assert there.dtype == jnp.result_type(precision, jnp.complex64)
    # float32 rounding at condition numbers of some tens
    tolerance = 2e-5 if precision == "float32" else 1e-13
    np.testing.assert_allclose(there, np.linalg.solve(m, columns), atol=tolerance)
    np.testing.assert_allclose(back, np.linalg.solve(m.swapaxes(1, 2), columns), atol=tolerance)


def test_a_factor_is_as_large_as_the_matrix():
    real = jax.ShapeDtypeStruct((4, 61, 61), jnp.float32)
    factor = jax.eval_shape(lambda m: block_factor(m, 16), planes.Planes(real, real))
    assert sum(leaf.size for leaf in jax.tree.leaves(factor)) == 2 * 4 * 61**2


@pytest.mark.parametrize("columns", [1, 2, 3])
def test_products_of_planes_are_complex_products_and_transposed_ones_those_of_the_plain_transpose(columns):
    rng = np.random.default_rng(0)
    a, b, c = (rng.normal(size=(2, *s)) + 1j * rng.normal(size=(2, *s)) for s in ((5, 7), (7, columns), (5, columns)))

    @quick_jit
    def run(a, b, c):
        a, b, c = map(planes.split, (a, b, c))
        results = planes.product(a, b), planes.product_with_few(a, b), planes.transposed_product_with_few(a, c)
        return [planes.join(result) for result in results]

    for result, expected in zip(run(a, b, c), (a @ b, a @ b, a.swapaxes(1, 2) @ c), strict=True):
        np.testing.assert_allclose(result, expected, atol=1e-5)
