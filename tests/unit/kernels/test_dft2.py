"""Both transforms against numpy, on even and odd sizes, and their inverses back to the map."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_models import quick_jit

from robust_iqa_jax.kernels.dft2.api import irfft2, rfft2

# one pixel, even and odd sides, one of them prime
SIZES = [(1, 1), (2, 3), (5, 4)]


@pytest.mark.parametrize("size", SIZES)
def test_transforms_and_inverses_equal_numpys_also_for_what_a_real_map_cannot_have(size):
    # imaginary parts at frequency 0 and at half the sampling rate belong to no real map
    rng = np.random.default_rng(1)
    x, parts = rng.normal(size=(2, *size, 3)), rng.normal(size=(2, 2, size[0], size[1] // 2 + 1, 3))
    spectrum = parts[0] + 1j * parts[1]

    @quick_jit
    def run(x, spectrum):
        return [(rfft2(x, name), irfft2(spectrum, size, name)) for name in ("auto", "fft", "matmul")]

    with jax.enable_x64(True):
        results = run(x, spectrum)
    for there, back in results:
        np.testing.assert_allclose(there, np.fft.rfft2(x, axes=(1, 2)), atol=1e-12)
        np.testing.assert_allclose(back, np.fft.irfft2(spectrum, s=size, axes=(1, 2)), atol=1e-12)


def test_products_in_float32_lose_no_more_than_a_transform():
    x = np.random.default_rng(0).normal(size=(2, 29, 29, 3))
    spectrum, again = quick_jit(lambda x: [y := rfft2(x, "matmul"), irfft2(y, (29, 29), "matmul")])(x)
    expected = np.fft.rfft2(x, axes=(1, 2))
    np.testing.assert_allclose(spectrum, expected, atol=3e-6 * np.abs(expected).max())
    np.testing.assert_allclose(again, x, atol=3e-6)


def test_unknown_transform_is_named():
    with pytest.raises(ValueError, match="unknown transform 'dct'; choose one of auto, fft, matmul"):
        rfft2(jnp.zeros((1, 2, 2, 1)), "dct")  # pyright: ignore[reportArgumentType]
