"""The factored Cayley convolution against explicit Q in float64, and the properties that give it its purpose."""

import explicit_cayley
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quick_models import quick_jit

from robust_iqa_jax.functional import cayley, cayley_system, spectral
from robust_iqa_jax.functional.cayley import isometry_kernel

# (H, W, in, out, kernel side): even and odd, portrait and landscape, wide, square, narrow, kernels larger than the map
CASES = [
    (7, 7, 5, 12, 3),
    (8, 6, 6, 6, 3),
    (5, 9, 40, 17, 3),
    (6, 8, 20, 50, 5),
    (2, 3, 3, 4, 3),
    (4, 4, 3, 7, 2),
    (5, 6, 4, 9, 1),
    (29, 29, 24, 100, 3),
]

jitted_conv = quick_jit(cayley.cayley_conv, static_argnums=(4, 5, 6))
jitted_prepare = quick_jit(cayley.prepare, static_argnums=(3, 4))
jitted_apply = quick_jit(cayley.apply)


def drawn(case, seed=0):
    h, w, ci, co, k = case
    rng = np.random.default_rng(seed)
    kernel = rng.uniform(-1, 1, (k, k, ci, co))
    return rng.normal(size=(2, h, w, ci)), kernel, 1.3 * np.linalg.norm(kernel) / np.sqrt(ci), rng.normal(size=co)


@pytest.mark.parametrize("norm", ["taps", "spectrum"])
@pytest.mark.parametrize("case", CASES)
def test_equals_explicit_q_in_float64_to_1e_5(case, norm):
    x, kernel, alpha, bias = drawn(case)
    expected = explicit_cayley.convolve(x, kernel, alpha, bias, norm)
    single = [jnp.asarray(v, jnp.float32) for v in (x, kernel, alpha, bias)]
    y = jitted_conv(*single, norm)
    # float32 rounding grows with the condition of M, some 1e-6 at these sizes
    assert np.abs(y - expected).max() <= 1e-5 * np.abs(expected).max()
    prepared = jitted_apply(jitted_prepare(*single[1:], x.shape[1:3], norm), single[0])
    assert np.abs(prepared - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("case", CASES[:5])
def test_equals_explicit_q_to_1e_12_in_float64(case):
    x, kernel, alpha, bias = drawn(case)
    with jax.enable_x64(True):
        y = jitted_conv(*(jnp.asarray(v) for v in (x, kernel, alpha, bias)))
        assert y.dtype == jnp.float64
    np.testing.assert_allclose(y, explicit_cayley.convolve(x, kernel, alpha, bias, "taps"), rtol=0, atol=1e-12)


@settings(deadline=None, max_examples=20)
@given(
    # few shapes, since each is compiled anew; many scales and draws
    shape=st.sampled_from([(1, 1, 2, 2), (7, 4, 3, 8), (4, 9, 5, 5)]),
    seed=st.integers(0, 99),
    scale=st.floats(0.05, 50),
)
def test_widening_convolution_keeps_every_norm(shape, seed, scale):
    h, w, ci, co = shape
    x, kernel, _, _ = drawn((h, w, ci, co, 3), seed)
    y = jitted_conv(*(jnp.asarray(v, jnp.float32) for v in (x, kernel, scale, np.zeros(co))))
    np.testing.assert_allclose(np.linalg.norm(y[0]), np.linalg.norm(x[0]), rtol=2e-5)


def test_narrowing_convolution_undoes_its_transpose_and_never_grows():
    x, kernel, alpha, _ = drawn((6, 7, 9, 4, 3))
    y = jitted_conv(*(jnp.asarray(v, jnp.float32) for v in (x, kernel, alpha, np.zeros(4))))
    assert np.linalg.norm(y) < np.linalg.norm(x)
    q = explicit_cayley.orthogonal_spectrum(kernel, alpha, (6, 7), "taps")
    np.testing.assert_allclose(q @ np.conj(q).swapaxes(-1, -2), np.broadcast_to(np.eye(4), (6, 7, 4, 4)), atol=1e-12)


def test_commutes_with_circular_shifts():
    x, kernel, alpha, bias = (jnp.asarray(v, jnp.float32) for v in drawn((7, 6, 4, 9, 3)))
    shifted = jitted_conv(jnp.roll(x, (2, 3), (1, 2)), kernel, alpha, bias)
    np.testing.assert_allclose(shifted, jnp.roll(jitted_conv(x, kernel, alpha, bias), (2, 3), (1, 2)), atol=1e-5)


@pytest.mark.parametrize("norm", ["taps", "spectrum"])
@pytest.mark.parametrize("case", [(5, 4, 3, 7, 3), (4, 5, 4, 4, 3), (5, 5, 6, 3, 3)])
def test_gradient_equals_central_differences_of_explicit_q(case, norm):
    x, kernel, alpha, bias = drawn(case)
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(2, *case[:2], case[3]))

    def explicit(*args):
        return float(np.sum(weights * explicit_cayley.convolve(*args, norm) ** 2))

    with jax.enable_x64(True):
        loss = lambda *args: jnp.sum(weights * cayley.cayley_conv(*args, norm) ** 2)  # noqa: E731
        gradients = quick_jit(jax.grad(loss, argnums=(0, 1, 2, 3)))(*(jnp.asarray(v) for v in (x, kernel, alpha, bias)))
    arguments = [x, kernel, np.asarray(alpha), bias]
    for i, gradient in enumerate(gradients):
        direction = rng.normal(size=np.shape(arguments[i]))
        moved = [[a + (s * 1e-5 * direction if j == i else 0) for j, a in enumerate(arguments)] for s in (1, -1)]
        numeric = (explicit(*moved[0]) - explicit(*moved[1])) / 2e-5
        assert float(np.sum(np.asarray(gradient) * direction)) == pytest.approx(numeric, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("kernel_size", [(3, 3), (2, 5), (1, 1)])
@pytest.mark.parametrize("size", [(5, 7), (4, 6)])
def test_kernel_spectrum_equals_transform_of_padded_kernel(kernel_size, size):
    kernel = np.random.default_rng(0).normal(size=(*kernel_size, 3, 2))
    with jax.enable_x64(True):
        ours = spectral.kernel_spectrum(jnp.asarray(kernel), size)
        norm = spectral.spectrum_norm(jnp.asarray(kernel), size)
    expected = explicit_cayley.spectrum(kernel, size)[:, : size[1] // 2 + 1]
    np.testing.assert_allclose(ours.reshape(expected.shape), expected, atol=1e-12)
    assert float(norm) == pytest.approx(np.linalg.norm(expected), rel=1e-12)


@pytest.mark.parametrize("transform", ["fft", "matmul"])
@pytest.mark.parametrize("solver", ["block", "newton_schulz", "lu"])
def test_solvers_and_transforms_give_the_same_convolution(solver, transform):
    x, kernel, alpha, bias = (jnp.asarray(v, jnp.float32) for v in drawn((5, 6, 4, 9, 3)))
    expected = explicit_cayley.convolve(x, kernel, alpha, bias, "taps")
    y = jitted_conv(x, kernel, alpha, bias, "taps", solver, transform)
    np.testing.assert_allclose(y, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("channels", [(4, 9), (9, 4)])
def test_blocks_of_frequencies_give_value_and_gradient_of_all_at_once(channels, monkeypatch):
    x, kernel, alpha, bias = (jnp.asarray(v, jnp.float32) for v in drawn((5, 6, *channels, 3)))

    def values():
        loss = lambda *args: jnp.sum(cayley.cayley_conv(*args) ** 3)  # noqa: E731
        operator = quick_jit(cayley.prepare, static_argnums=3)(kernel, alpha, bias, (5, 6))
        return [operator.inverse, *quick_jit(jax.value_and_grad(loss, argnums=(0, 1, 2)))(x, kernel, alpha, bias)]

    whole = values()
    # 3 systems of 4 x 4 complex numbers at a time: 20 frequencies make 7 blocks, the last one partly empty
    monkeypatch.setattr(cayley_system, "CACHE_BYTES", 3 * 8 * 16)
    for blocked, expected in zip(jax.tree.leaves(values()), jax.tree.leaves(whole), strict=True):
        np.testing.assert_allclose(blocked, expected, atol=1e-5 * float(jnp.abs(expected).max()))


def test_the_gradient_is_the_same_where_parts_of_a_batch_are_recomputed(monkeypatch):
    monkeypatch.setattr(cayley_system, "CACHE_BYTES", 1 << 12)  # several blocks
    rng = np.random.default_rng(0)
    kernel, x = (jnp.asarray(rng.normal(size=s), jnp.float32) for s in ((3, 3, 6, 9), (4, 5, 6, 6)))

    def convolve(kernel, x):
        return cayley.cayley_conv(x, kernel, jnp.float32(2.0), jnp.zeros(9))

    def in_parts(kernel):
        body = jax.checkpoint(lambda carry, part: (carry, convolve(kernel, part)), prevent_cse=False)
        return (jax.lax.scan(body, 0, x.reshape(2, 2, *x.shape[1:]))[1] ** 3).sum()

    expected = quick_jit(jax.grad(lambda kernel: (convolve(kernel, x) ** 3).sum()))(kernel)
    np.testing.assert_allclose(quick_jit(jax.grad(in_parts))(kernel), expected, rtol=1e-4, atol=1e-5)


def test_warm_start_saves_steps_and_gives_value_and_gradient_of_the_plain_convolution():
    x, kernel, alpha, bias = (jnp.asarray(v, jnp.float32) for v in drawn((5, 6, 4, 9, 3)))
    start = jnp.zeros((5 * 4, 4, 4), jnp.complex64)
    y, inverse = quick_jit(cayley.warm_cayley_conv)(x, kernel, alpha, bias, start)
    np.testing.assert_allclose(y, jitted_conv(x, kernel, alpha, bias), atol=1e-5)

    moved = kernel + 0.01 * jnp.sign(kernel)  # as an optimiser would move it
    plain = quick_jit(jax.grad(lambda k: jnp.sum(cayley.cayley_conv(x, k, alpha, bias) ** 3)))(moved)
    warm = quick_jit(jax.grad(lambda k: jnp.sum(cayley.warm_cayley_conv(x, k, alpha, bias, inverse)[0] ** 3)))(moved)
    np.testing.assert_allclose(warm, plain, atol=1e-4 * float(jnp.abs(plain).max()))


def test_isometry_kernel_gives_the_matrix_back_at_every_pixel():
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(9, 4)))[0]
    left, _, right = np.linalg.svd(basis[:4])
    basis = basis @ (left @ right).T
    kernel = isometry_kernel(jnp.asarray(basis, jnp.float32), (3, 3))
    x = jnp.asarray(rng.normal(size=(2, 5, 6, 4)), jnp.float32)
    y = jitted_conv(x, kernel, jnp.linalg.norm(kernel.ravel()), jnp.zeros(9))
    np.testing.assert_allclose(y, np.asarray(x) @ basis.T, atol=1e-5)


def test_bad_arguments_are_named():
    x, kernel, alpha, bias = (jnp.asarray(v, jnp.float32) for v in drawn(CASES[0]))
    with pytest.raises(ValueError, match="unknown norm 'l2'; choose one of"):
        cayley.cayley_conv(x, kernel, alpha, bias, "l2")  # pyright: ignore[reportArgumentType]
    operator = cayley.prepare(kernel, alpha, bias, (7, 7))
    with pytest.raises(ValueError, match=r"prepared for maps of \(7, 7\), got \(6, 7\)"):
        cayley.apply(operator, x[:, 1:])
