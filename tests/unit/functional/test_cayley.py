"""The factored Cayley convolution against explicit Q in float64: value, gradient, in blocks, prepared, warm-started."""

import explicit_cayley
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_models import quick_jit

from robust_iqa_jax.functional import cayley, cayley_system, spectral
from robust_iqa_jax.kernels.cayley_solve.planes import Planes

CASES = {
    # images, H, W, in, out, kernel sides, norm: even and odd, portrait and landscape, one image, few and many
    "wide": (2, 7, 5, 4, 9, (3, 3), "taps"),
    "square, kernel of even sides": (3, 6, 8, 5, 5, (2, 2), "spectrum"),
    "narrow, in blocks": (3, 5, 6, 9, 4, (1, 3), "taps"),
    "kernel larger than the map": (1, 3, 2, 4, 3, (1, 3), "spectrum"),
    "few maps, in blocks": (2, 5, 6, 4, 6, (1, 2), "taps"),
}
THREE_SYSTEMS = 3 * 16 * 16
"""Bytes of three systems of 4 x 4 complex numbers of float64."""

jitted_conv = quick_jit(cayley.cayley_conv, static_argnums=(4, 5, 6))


def drawn(case, seed=0):
    n, h, w, ci, co, sides, _ = case
    rng = np.random.default_rng(seed)
    kernel = rng.uniform(-1, 1, (*sides, ci, co))
    return rng.normal(size=(n, h, w, ci)), kernel, 1.3 * np.linalg.norm(kernel) / np.sqrt(ci), rng.normal(size=co)


def single(case):
    return [jnp.asarray(v, jnp.float32) for v in drawn(case)]


def value_and_slopes(convolve, arguments, weights, directions):
    """convolve(*arguments), and the slopes of sum(weights y^2) along a direction of each argument, by differences."""

    def loss(*arguments):
        return float(np.sum(weights * convolve(*arguments) ** 2))

    slopes = []
    for i, direction in enumerate(directions):
        ends = [[a + s * 1e-5 * direction if j == i else a for j, a in enumerate(arguments)] for s in (1, -1)]
        slopes.append((loss(*ends[0]) - loss(*ends[1])) / 2e-5)
    return convolve(*arguments), slopes


@pytest.mark.parametrize("name", CASES)
def test_value_gradient_and_prepared_value_equal_those_of_explicit_q(name, monkeypatch):
    if "in blocks" in name:  # 20 frequencies make 7 blocks, the last one partly empty
        monkeypatch.setattr(cayley_system, "CACHE_BYTES", THREE_SYSTEMS)
    *_, norm = case = CASES[name]
    arguments, rng = drawn(case), np.random.default_rng(1)
    directions = [rng.normal(size=np.shape(a)) for a in arguments]
    weights = rng.normal(size=(*arguments[0].shape[:3], case[4]))

    def explicit(*arguments):
        return explicit_cayley.convolve(*arguments, norm)

    def loss(*arguments):
        y = cayley.cayley_conv(*arguments, norm)
        return jnp.sum(weights * y**2), y

    @quick_jit
    def run(x, *free):
        prepared = cayley.apply(cayley.prepare(*free, x.shape[1:3], norm), x) if norm == "taps" else None
        return *jax.grad(loss, argnums=(0, 1, 2, 3), has_aux=True)(x, *free), prepared

    y, slopes = value_and_slopes(explicit, arguments, weights, directions)
    with jax.enable_x64(True):
        gradients, value, prepared = run(*(jnp.asarray(v) for v in arguments))
    assert value.dtype == jnp.float64
    np.testing.assert_allclose(value, y, rtol=0, atol=1e-12)
    if prepared is not None:
        np.testing.assert_allclose(prepared, y, rtol=0, atol=1e-12)
    for gradient, direction, slope in zip(gradients, directions, slopes, strict=True):
        assert float(np.sum(np.asarray(gradient) * direction)) == pytest.approx(slope, rel=1e-6, abs=1e-8)


def test_float32_equals_explicit_q_where_systems_are_eliminated_in_blocks():
    # 52 channels: more than a leaf of the factors (50), and than what is eliminated without blocks (26)
    case = (2, 3, 4, 52, 60, (1, 2), "taps")
    expected = explicit_cayley.convolve(*drawn(case), "taps")
    y = jitted_conv(*single(case))
    # float32 rounding grows with the condition of M, some 1e-6 at these sizes
    assert np.abs(y - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize(("solver", "transform"), [("newton_schulz", "matmul"), ("lu", "fft")])
def test_solvers_and_transforms_give_the_same_convolution(solver, transform):
    case = CASES["few maps, in blocks"]
    expected = explicit_cayley.convolve(*drawn(case), "taps")
    y = jitted_conv(*single(case), "taps", solver, transform)
    np.testing.assert_allclose(y, expected, atol=1e-5 * np.abs(expected).max())


def test_the_gradient_is_the_same_where_parts_of_a_batch_are_recomputed(monkeypatch):
    monkeypatch.setattr(cayley_system, "CACHE_BYTES", THREE_SYSTEMS)
    rng = np.random.default_rng(0)
    x, kernel, alpha, bias = arguments = drawn((4, 5, 6, 4, 6, (1, 2), "taps"))
    directions = [np.zeros(x.shape), rng.normal(size=kernel.shape), 0.0, np.zeros(6)]

    def in_parts(kernel):
        convolve = lambda carry, part: (carry, cayley.cayley_conv(part, kernel, alpha, bias))  # noqa: E731
        parts = jnp.asarray(x.reshape(2, 2, *x.shape[1:]))
        return (jax.lax.scan(jax.checkpoint(convolve, prevent_cse=False), 0, parts)[1] ** 2).sum()

    explicit = lambda *a: explicit_cayley.convolve(*a, "taps")  # noqa: E731
    slope = value_and_slopes(explicit, arguments, 1.0, directions)[1][1]
    with jax.enable_x64(True):
        gradient = np.asarray(quick_jit(jax.grad(in_parts))(jnp.asarray(kernel)))
    assert float(np.sum(gradient * directions[1])) == pytest.approx(slope, rel=1e-6)


def test_warm_start_gives_value_and_gradient_of_the_plain_convolution():
    x, kernel, alpha, bias = arguments = drawn(CASES["few maps, in blocks"])
    rng = np.random.default_rng(0)
    directions = [np.zeros(x.shape), rng.normal(size=kernel.shape), 0.0, np.zeros(6)]
    start = np.linalg.inv(explicit_systems(kernel - 0.01 * np.sign(kernel), alpha, x.shape[1:3]))  # the last step's

    def loss(kernel, start):
        y, inverse = cayley.warm_cayley_conv(*map(jnp.asarray, (x, kernel, alpha, bias)), start)
        return jnp.sum(y**2), (y, inverse)

    with jax.enable_x64(True):
        gradient, (y, inverse) = quick_jit(jax.grad(loss, has_aux=True))(jnp.asarray(kernel), jnp.asarray(start))
    explicit = lambda *a: explicit_cayley.convolve(*a, "taps")  # noqa: E731
    expected, slopes = value_and_slopes(explicit, arguments, 1.0, directions)
    # the iteration ends at a residual of 1e-5
    np.testing.assert_allclose(y, expected, atol=1e-4)
    np.testing.assert_allclose(inverse, np.linalg.inv(explicit_systems(kernel, alpha, x.shape[1:3])), atol=1e-4)
    assert float(np.sum(np.asarray(gradient) * directions[1])) == pytest.approx(slopes[1], rel=1e-3)


def explicit_systems(kernel, alpha, size):
    """M(f) of a kernel with out >= in at the frequencies that rfft2 keeps; the scale is alpha / |kernel|."""
    w = explicit_cayley.spectrum(kernel * alpha / np.linalg.norm(kernel), size)[:, : size[1] // 2 + 1]
    w = w.reshape(-1, *w.shape[2:])
    u, v = w[:, : w.shape[2]], w[:, w.shape[2] :]
    adjoint = lambda m: np.conj(m).swapaxes(1, 2)  # noqa: E731
    return np.eye(w.shape[2]) + u - adjoint(u) + adjoint(v) @ v


@pytest.mark.parametrize(("kernel_size", "size"), [((3, 3), (5, 7)), ((2, 5), (4, 6)), ((1, 1), (5, 4))])
def test_kernel_spectrum_and_its_norm_equal_those_of_the_transform_of_a_padded_kernel(kernel_size, size):
    kernel = np.random.default_rng(0).normal(size=(*kernel_size, 3, 2))
    both = quick_jit(lambda k: (spectral.kernel_spectrum(k, size), spectral.spectrum_norm(k, size)))
    with jax.enable_x64(True):
        spectrum, norm = both(jnp.asarray(kernel))
    expected = explicit_cayley.spectrum(kernel, size)[:, : size[1] // 2 + 1]
    np.testing.assert_allclose(spectrum.reshape(expected.shape), expected, atol=1e-12)
    assert float(norm) == pytest.approx(np.linalg.norm(expected), rel=1e-12)


def test_isometry_kernel_gives_the_matrix_back_at_every_pixel():
    x = drawn(CASES["wide"])[0]
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(9, 4)))[0]
    left, _, right = np.linalg.svd(basis[:4])
    basis = basis @ (left @ right).T
    kernel = np.asarray(quick_jit(cayley.isometry_kernel, static_argnums=1)(basis, (3, 3)), np.float64)
    assert not kernel[[0, 2]].any()
    y = explicit_cayley.convolve(x, kernel, np.linalg.norm(kernel), 0, "taps")
    np.testing.assert_allclose(y, x @ basis.T, atol=1e-5)


def test_bad_arguments_are_named():
    x, kernel, alpha, bias = single(CASES["wide"])
    with pytest.raises(ValueError, match="unknown norm 'l2'; choose one of"):
        cayley.cayley_conv(x, kernel, alpha, bias, "l2")  # pyright: ignore[reportArgumentType]
    operator = cayley.CayleyOperator(Planes(x, x), kernel, bias, (7, 7), True)
    with pytest.raises(ValueError, match=r"prepared for maps of \(7, 7\), got \(7, 5\)"):
        cayley.apply(operator, x)
