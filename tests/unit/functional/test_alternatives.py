"""Each alternative construction has the property that it is named for."""

from functools import partial

import explicit_cayley as reference
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_models import quick_jit

from robust_iqa_jax.functional.alternatives import block_convolution
from robust_iqa_jax.functional.alternatives.bjorck import bjorck_conv, orthogonalise
from robust_iqa_jax.functional.alternatives.explicit_cayley import explicit_cayley_conv
from robust_iqa_jax.functional.alternatives.exponential import exponential_conv
from robust_iqa_jax.functional.alternatives.spectral_norm import spectral_norm, spectral_norm_conv
from robust_iqa_jax.functional.approximate_cayley import (
    band_limited_cayley_conv,
    bfloat16_cayley_conv,
    truncated_cayley_conv,
)
from robust_iqa_jax.functional.cayley import cayley_conv

SHAPES = [(5, 6, 4, 9), (6, 6, 5, 5), (7, 5, 8, 3)]


def drawn(shape, scale=1.0, seed=0):
    h, w, ci, co = shape
    rng = np.random.default_rng(seed)
    x, kernel = rng.normal(size=(2, h, w, ci)), scale * rng.normal(size=(3, 3, ci, co)) / np.sqrt(9 * ci)
    return jnp.asarray(x, jnp.float32), jnp.asarray(kernel, jnp.float32), jnp.zeros(co)


def norms(x):
    return np.linalg.norm(np.asarray(x, np.float64).reshape(len(x), -1), axis=1)


@pytest.mark.parametrize("norm", ["taps", "spectrum"])
@pytest.mark.parametrize("shape", [*SHAPES, (2, 3, 3, 4)])
def test_explicit_q_equals_the_float64_reference_and_has_the_factored_gradient(shape, norm):
    x, kernel, bias = drawn(shape)
    alpha = jnp.float32(2.5)
    expected = reference.convolve(x, np.asarray(kernel, np.float64), 2.5, np.asarray(bias), norm)

    def loss(k, convolve):
        y = convolve(x, k, alpha, bias, norm)
        return jnp.sum(y**3), y

    explicit, factored = (
        quick_jit(jax.value_and_grad(loss, has_aux=True), static_argnums=1)(kernel, convolve)
        for convolve in (explicit_cayley_conv, cayley_conv)
    )
    np.testing.assert_allclose(explicit[0][1], expected, atol=2e-5)
    gradients = explicit[1], factored[1]
    np.testing.assert_allclose(*gradients, atol=2e-4 * float(jnp.abs(gradients[1]).max()))


@pytest.mark.parametrize("shape", SHAPES)
def test_exponential_of_a_skew_convolution_keeps_or_never_grows_the_norm(shape):
    x, kernel, bias = drawn(shape, scale=0.5)
    convolve = quick_jit(exponential_conv, static_argnames="terms")
    y = convolve(x, kernel, bias)
    if shape[3] >= shape[2]:
        np.testing.assert_allclose(norms(y), norms(x), rtol=1e-5)
    else:
        assert (norms(y) < norms(x)).all()
    # two terms are too few: the property is the series', not the input's
    assert not np.allclose(norms(convolve(x, kernel, bias, terms=2)), norms(y), rtol=1e-3)


def test_exponential_needs_a_centre_tap():
    x, kernel, bias = drawn(SHAPES[0])
    with pytest.raises(ValueError, match=r"needs odd kernel sides, got \(2, 3\)"):
        exponential_conv(x, kernel[:2], bias)


@pytest.mark.parametrize(("rows", "columns"), [(9, 4), (4, 9), (5, 5)])
def test_orthogonalisation_gives_the_polar_factor(rows, columns):
    rng = np.random.default_rng(0)
    m = rng.normal(size=(3, rows, columns)) + 1j * rng.normal(size=(3, rows, columns))
    u, _, v = np.linalg.svd(m, full_matrices=False)
    found = quick_jit(partial(orthogonalise, steps=40))(jnp.asarray(m, jnp.complex64))
    np.testing.assert_allclose(found, u @ v, atol=1e-4)


@pytest.mark.parametrize("shape", [SHAPES[0], (6, 5, 3, 12)])
def test_orthogonalised_spectrum_keeps_the_norm(shape):
    x, kernel, bias = drawn(shape)
    y = quick_jit(partial(bjorck_conv, steps=40))(x, kernel, bias)
    np.testing.assert_allclose(norms(y), norms(x), rtol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_block_convolution_has_an_orthogonal_three_by_three_kernel(shape):
    x, _, bias = drawn(shape)
    parameters = block_convolution.init(jax.random.key(0), *shape[2:])
    kernel = quick_jit(block_convolution.explicit_kernel, static_argnums=1)(parameters, 40)
    assert kernel.shape == (3, 3, *shape[2:])
    assert (np.abs(np.asarray(kernel)).max((2, 3)) > 1e-3).all()  # all nine taps are used
    y = quick_jit(block_convolution.block_convolution_conv, static_argnums=3)(x, parameters, bias, 40)
    if shape[3] >= shape[2]:
        np.testing.assert_allclose(norms(y), norms(x), rtol=1e-4)
    else:
        assert (norms(y) <= norms(x)).all()


def test_spectral_norm_is_that_of_the_spectrum_and_bounds_the_convolution():
    x, kernel, bias = drawn(SHAPES[0])
    expected = np.linalg.norm(reference.spectrum(np.asarray(kernel, np.float64), (5, 6)), 2, axis=(-2, -1)).max()
    assert float(spectral_norm(kernel, (5, 6), steps=200)) == pytest.approx(expected, rel=1e-4)
    assert float(spectral_norm(kernel, (5, 6), steps=3)) < expected  # from below
    assert (norms(spectral_norm_conv(x, kernel, bias, steps=200)) <= norms(x)).all()


@pytest.mark.parametrize("keep", [0.3, 0.7, 1.0])
@pytest.mark.parametrize("shape", [SHAPES[0], (6, 6, 5, 5)])
def test_band_limited_convolution_is_isometric_at_any_cut_off_and_exact_without_one(shape, keep):
    x, kernel, bias = drawn(shape)
    alpha = jnp.float32(2.5)
    y = quick_jit(band_limited_cayley_conv, static_argnums=4)(x, kernel, alpha, bias, keep)
    np.testing.assert_allclose(norms(y), norms(x), rtol=1e-5)
    difference = float(jnp.abs(y - quick_jit(cayley_conv)(x, kernel, alpha, bias)).max())
    assert difference < 1e-5 if keep == 1 else difference > 1e-2


def test_band_limited_convolution_refuses_what_it_cannot_do():
    x, kernel, bias = drawn(SHAPES[2])
    with pytest.raises(ValueError, match="needs out >= in, got 8 -> 3"):
        band_limited_cayley_conv(x, kernel, jnp.float32(1), bias, 0.5)
    with pytest.raises(ValueError, match=r"keep must lie in \(0, 1\], got 0"):
        band_limited_cayley_conv(x, kernel, jnp.float32(1), bias, 0)


@pytest.mark.parametrize(("convolve", "reached"), [(truncated_cayley_conv, 1e-5), (bfloat16_cayley_conv, 5e-2)])
def test_iterated_approximations_come_close_to_isometry_as_far_as_their_arithmetic_lets_them(convolve, reached):
    x, kernel, bias = drawn(SHAPES[0])
    run = quick_jit(convolve, static_argnums=4)
    errors = [np.abs(norms(run(x, kernel, jnp.float32(2.5), bias, steps)) / norms(x) - 1).max() for steps in (1, 12)]
    assert errors[1] < reached < errors[0]
