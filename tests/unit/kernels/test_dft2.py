"""Both transforms against numpy, on even and odd sizes, and their inverses back to the map."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_iqa_jax.kernels.dft2.api import irfft2, rfft2

SIZES = [(1, 1), (2, 3), (5, 4), (6, 6), (29, 29), (7, 12)]


@pytest.mark.parametrize("transform", ["auto", "fft", "matmul"])
@pytest.mark.parametrize("size", SIZES)
def test_transform_equals_numpys_and_the_inverse_returns_the_map(transform, size):
    x = np.random.default_rng(0).normal(size=(2, *size, 3))
    expected = np.fft.rfft2(x, axes=(1, 2))
    spectrum = rfft2(jnp.asarray(x, jnp.float32), transform)
    np.testing.assert_allclose(spectrum, expected, atol=3e-6 * np.abs(expected).max())
    np.testing.assert_allclose(irfft2(spectrum, size, transform), x, atol=3e-6)


@pytest.mark.parametrize("size", SIZES)
def test_inverse_ignores_what_a_real_map_cannot_have_as_the_reference_does(size):
    # imaginary parts at frequency 0 and at half the sampling rate belong to no real map
    rng = np.random.default_rng(1)
    shape = (2, size[0], size[1] // 2 + 1, 3)
    spectrum = rng.normal(size=shape) + 1j * rng.normal(size=shape)
    with jax.enable_x64(True):
        found = irfft2(jnp.asarray(spectrum), size, "matmul")
    np.testing.assert_allclose(found, np.fft.irfft2(spectrum, s=size, axes=(1, 2)), atol=1e-12)


def test_unknown_transform_is_named():
    with pytest.raises(ValueError, match="unknown transform 'dct'; choose one of auto, fft, matmul"):
        rfft2(jnp.zeros((1, 2, 2, 1)), "dct")  # pyright: ignore[reportArgumentType]
