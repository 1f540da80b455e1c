"""Every solver of the Cayley system against float64 numpy, and what the iterative one does when it is badly started."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_models import quick_jit

from robust_iqa_jax.kernels.cayley_solve import planes
from robust_iqa_jax.kernels.cayley_solve.api import choose, inverse
from robust_iqa_jax.kernels.cayley_solve.block_factor import block_factor, solve, solve_transposed
from robust_iqa_jax.kernels.cayley_solve.newton_schulz import newton_schulz, truncated_newton_schulz

jitted_inverse = quick_jit(inverse, static_argnums=1)


def cayley_systems(side, scale=3.0, count=4, seed=0):
    """Systems M = I + U - U^H + V^H V, complex128, from spectra of the given size."""
    rng = np.random.default_rng(seed)
    w = rng.normal(size=(count, 3 * side, side)) + 1j * rng.normal(size=(count, 3 * side, side))
    w *= scale / np.sqrt(side)
    u, v = w[:, :side], w[:, side:]
    return np.eye(side) + u - np.conj(u).swapaxes(1, 2) + np.conj(v).swapaxes(1, 2) @ v


@pytest.mark.parametrize(
    ("solver", "side"),
    [(solver, side) for solver in ("block", "lu", "newton_schulz", "auto") for side in (1, 3, 5, 16, 17, 61)]
    + [("closed_form", side) for side in (1, 2, 3)],
)
@pytest.mark.parametrize("scale", [0.1, 3.0])
def test_every_solver_inverts_cayley_systems(solver, side, scale):
    m = cayley_systems(side, scale)
    found = np.asarray(jitted_inverse(jnp.asarray(m, jnp.complex64), solver))
    # float32 rounding at condition numbers of some tens
    np.testing.assert_allclose(found, np.linalg.inv(m), atol=2e-5)


@pytest.mark.parametrize("solver", ["block", "closed_form", "newton_schulz"])
def test_solvers_keep_the_precision_and_the_realness_of_their_argument(solver):
    m = cayley_systems(3)
    with jax.enable_x64(True):
        for matrices in (m, m.real + 3 * np.eye(3)):
            found = inverse(jnp.asarray(matrices), solver)
            assert found.dtype == matrices.dtype
            np.testing.assert_allclose(
                found, np.linalg.inv(matrices), atol=1e-6 if solver == "newton_schulz" else 1e-13
            )


def test_auto_takes_cofactors_up_to_three_channels_and_blocks_above():
    assert [choose(side) for side in (1, 3, 4, 200)] == ["closed_form", "closed_form", "block", "block"]


def test_warm_start_needs_few_steps_and_a_wrong_one_is_not_used():
    m = jnp.asarray(cayley_systems(17), jnp.complex64)
    cold = newton_schulz(m)
    near = newton_schulz(m, jnp.linalg.inv(m * 1.01))
    wrong = newton_schulz(m, 100 * jnp.ones_like(m))
    assert int(near.steps) == 2  # a residual of 1e-2 squares itself to 1e-4, then to less than the tolerance
    assert int(near.steps) < int(cold.steps) == int(wrong.steps)
    for result in (cold, near, wrong):
        assert not result.fell_back
        assert float(result.residual) <= 1e-5


def test_iteration_that_does_not_converge_is_replaced_by_the_block_inverse():
    m = cayley_systems(17)
    result = newton_schulz(jnp.asarray(m, jnp.complex64), max_steps=2)
    assert result.fell_back
    assert int(result.steps) == 2
    assert float(result.residual) > 1e-2
    np.testing.assert_allclose(result.inverse, np.linalg.inv(m), atol=2e-5)


def test_truncated_iteration_comes_closer_with_every_step():
    m = jnp.asarray(cayley_systems(17), jnp.complex64)
    errors = [float(jnp.linalg.norm(jnp.eye(17) - m @ truncated_newton_schulz(m, k))) for k in (2, 4, 8, 16)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-3 < 1 < errors[0]


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="unknown solver 'qr'; choose one of auto, block"):
        inverse(jnp.eye(2)[None], "qr")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="at most 3 x 3 matrices, got 4 x 4"):
        inverse(jnp.eye(4)[None], "closed_form")


@pytest.mark.parametrize(("side", "leaf"), [(5, 5), (17, 4), (61, 16), (50, 50)])
@pytest.mark.parametrize("precision", ["float32", "float64"])
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
    factor = block_factor(planes.split(jnp.asarray(cayley_systems(61), jnp.complex64)), 16)
    assert sum(leaf.size for leaf in jax.tree.leaves(factor)) == 2 * 4 * 61**2


def test_products_of_planes_are_complex_products():
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(2, 7, 7)) + 1j * rng.normal(size=(2, 7, 7)) for _ in range(2))
    for product in (planes.product, planes.product_with_few):
        found = planes.join(product(*(planes.split(jnp.asarray(v, jnp.complex64)) for v in (a, b))))
        np.testing.assert_allclose(found, a @ b, atol=1e-5)


@pytest.mark.parametrize("columns", [1, 2, 3])
def test_transposed_products_are_those_of_the_plain_transpose(columns):
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(2, 7, n)) + 1j * rng.normal(size=(2, 7, n)) for n in (5, columns))
    x, y = (planes.split(jnp.asarray(v, jnp.complex64)) for v in (a, b))
    np.testing.assert_allclose(planes.join(planes.transposed_product_with_few(x, y)), a.swapaxes(1, 2) @ b, atol=1e-5)
