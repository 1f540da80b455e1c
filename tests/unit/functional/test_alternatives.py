"""Each alternative construction has the property that it is named for."""

import explicit_cayley as reference
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_models import quick_jit

from robust_iqa_jax.functional.alternatives.bjorck import bjorck_conv, orthogonalise
from robust_iqa_jax.functional.alternatives.explicit_cayley import explicit_cayley_conv
from robust_iqa_jax.functional.alternatives.exponential import exponential_conv
from robust_iqa_jax.functional.alternatives.spectral_norm import spectral_norm, spectral_norm_conv
from robust_iqa_jax.functional.approximate_cayley import (
    band_limited_cayley_conv,
    bfloat16_cayley_conv,
    truncated_cayley_conv,
)

WIDE, SQUARE, NARROW = (5, 6, 4, 9), (6, 6, 5, 5), (7, 5, 8, 3)


def drawn(shape, scale=1.0, seed=0, sides=(3, 3)):
    h, w, ci, co = shape
    rng = np.random.default_rng(seed)
    x, kernel = rng.normal(size=(2, h, w, ci)), scale * rng.normal(size=(*sides, ci, co)) / np.sqrt(9 * ci)
    return jnp.asarray(x, jnp.float32), jnp.asarray(kernel, jnp.float32), jnp.zeros(co)


def norms(x):
    return np.linalg.norm(np.asarray(x, np.float64).reshape(len(x), -1), axis=1)


@pytest.mark.parametrize(("shape", "norm"), [(WIDE, "taps"), ((2, 3, 4, 3), "spectrum")])
def test_explicit_q_equals_the_float64_reference_and_its_gradient_the_difference_quotient(shape, norm):
    with jax.enable_x64(True):
        x, kernel, bias = (np.asarray(a, np.float64) for a in drawn(shape, sides=(1, 3)))
        direction = np.random.default_rng(1).normal(size=kernel.shape)

        def run(kernel):
            y = explicit_cayley_conv(jnp.asarray(x), kernel, jnp.float64(2.5), jnp.asarray(bias), norm)
            return jnp.sum(y**3), y

        gradient, y = quick_jit(jax.grad(run, has_aux=True))(jnp.asarray(kernel))
    expected, *ends = (reference.convolve(x, kernel + s * 1e-5 * direction, 2.5, bias, norm) for s in (0, 1, -1))
    np.testing.assert_allclose(y, expected, atol=1e-12)
    slope = (np.sum(ends[0] ** 3) - np.sum(ends[1] ** 3)) / 2e-5
    assert float(np.sum(np.asarray(gradient) * direction)) == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize("shape", [WIDE, NARROW])
def test_exponential_of_a_skew_convolution_keeps_or_never_grows_the_norm(shape):
    x, kernel, bias = drawn(shape, scale=0.5, sides=(1, 3))
    # two terms are too few: the property is the series', not the input's
    y, of_two = quick_jit(lambda *a: [exponential_conv(*a, terms=terms) for terms in (12, 2)])(x, kernel, bias)
    if shape[3] >= shape[2]:
        np.testing.assert_allclose(norms(y), norms(x), rtol=1e-5)
    else:
        assert (norms(y) < norms(x)).all()
    assert not np.allclose(norms(of_two), norms(y), rtol=1e-3)


def test_exponential_needs_a_centre_tap():
    x, kernel, bias = drawn(WIDE)
    with pytest.raises(ValueError, match=r"needs odd kernel sides, got \(2, 3\)"):
        exponential_conv(x, kernel[:2], bias)


jitted_orthogonalise = quick_jit(orthogonalise)


@pytest.mark.parametrize(("rows", "columns"), [(9, 4), (4, 9)])
def test_orthogonalisation_gives_the_polar_factor(rows, columns):
    rng = np.random.default_rng(0)
    m = rng.normal(size=(3, rows, columns)) + 1j * rng.normal(size=(3, rows, columns))
    u, _, v = np.linalg.svd(m, full_matrices=False)
    np.testing.assert_allclose(jitted_orthogonalise(jnp.asarray(m, jnp.complex64), 40), u @ v, atol=1e-4)


def test_orthogonalised_spectrum_keeps_the_norm():
    x, kernel, bias = drawn(WIDE)
    np.testing.assert_allclose(norms(quick_jit(bjorck_conv)(x, kernel, bias, 40)), norms(x), rtol=1e-4)


def test_spectral_norm_is_that_of_the_spectrum_and_bounds_the_convolution():
    x, kernel, bias = drawn(WIDE)

    @quick_jit
    def run(x, kernel, bias, steps):
        return spectral_norm(kernel, (5, 6), steps), spectral_norm_conv(x, kernel, bias, steps)

    expected = np.linalg.norm(reference.spectrum(np.asarray(kernel, np.float64), (5, 6)), 2, axis=(-2, -1)).max()
    norm, y = run(x, kernel, bias, 200)
    assert float(norm) == pytest.approx(expected, rel=1e-4)
    assert float(run(x, kernel, bias, 3)[0]) < expected  # from below
    assert (norms(y) <= norms(x)).all()


@pytest.mark.parametrize(("shape", "keep"), [(WIDE, 0.3), (SQUARE, 0.7), (WIDE, 1.0)])
def test_band_limited_convolution_is_isometric_at_any_cut_off_and_exact_without_one(shape, keep):
    x, kernel, bias = drawn(shape, sides=(1, 2))
    y = quick_jit(band_limited_cayley_conv, static_argnums=4)(x, kernel, jnp.float32(2.5), bias, keep)
    np.testing.assert_allclose(norms(y), norms(x), rtol=1e-5)
    expected = reference.convolve(x, np.asarray(kernel, np.float64), 2.5, 0, "taps")
    difference = np.abs(y - expected).max()
    assert difference < 1e-5 if keep == 1 else difference > 1e-2


def test_band_limited_convolution_refuses_what_it_cannot_do():
    x, kernel, bias = drawn(NARROW)
    with pytest.raises(ValueError, match="needs out >= in, got 8 -> 3"):
        band_limited_cayley_conv(x, kernel, jnp.float32(1), bias, 0.5)
    with pytest.raises(ValueError, match=r"keep must lie in \(0, 1\], got 0"):
        band_limited_cayley_conv(x, kernel, jnp.float32(1), bias, 0)


@pytest.mark.parametrize(("convolve", "reached"), [(truncated_cayley_conv, 1e-5), (bfloat16_cayley_conv, 5e-2)])
def test_iterated_approximations_come_close_to_isometry_as_far_as_their_arithmetic_lets_them(convolve, reached):
    x, kernel, bias = drawn(WIDE, sides=(1, 2))
    run = quick_jit(convolve)
    errors = [np.abs(norms(run(x, kernel, jnp.float32(2.5), bias, steps)) / norms(x) - 1).max() for steps in (1, 12)]
    assert errors[1] < reached < errors[0]
