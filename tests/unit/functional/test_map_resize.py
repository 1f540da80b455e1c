"""Aligned bilinear resize, adaptive average pooling and patches as channels against PyTorch's, and at their edges."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_models import quick_jit

from robust_iqa_jax.functional.map_resize import adaptive_average_pool, resize_aligned, space_to_depth

SIZES = [(3, 9), (14, 14), (1, 1), (31, 2), (7, 7)]


@pytest.mark.parametrize("size", SIZES)
def test_both_equal_pytorch(size):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra 'parity')")
    x = np.random.default_rng(0).normal(size=(2, 7, 10, 3))
    there = torch.from_numpy(x).permute(0, 3, 1, 2)
    bilinear = torch.nn.functional.interpolate(there, size, mode="bilinear", align_corners=True)
    means = torch.nn.functional.adaptive_avg_pool2d(there, size)
    with jax.enable_x64(True):
        resized, pooled = quick_jit(lambda x: (resize_aligned(x, size), adaptive_average_pool(x, size)))(x)
    np.testing.assert_allclose(resized, bilinear.permute(0, 2, 3, 1), rtol=0, atol=1e-12)
    np.testing.assert_allclose(pooled, means.permute(0, 2, 3, 1), rtol=0, atol=1e-12)


def test_the_right_size_passes_unchanged_and_corners_stay():
    x = jnp.asarray(np.random.default_rng(1).normal(size=(1, 5, 6, 2)), jnp.float32)
    assert resize_aligned(x, (5, 6)) is x
    assert adaptive_average_pool(x, (5, 6)) is x
    np.testing.assert_allclose(resize_aligned(x, (9, 4))[:, ::8, ::3], x[:, ::4, ::5], rtol=1e-6)


def test_patches_become_channels_in_pytorchs_order():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra 'parity')")
    x = np.arange(2 * 4 * 6 * 3.0).reshape(2, 4, 6, 3)
    expected = torch.nn.functional.pixel_unshuffle(torch.from_numpy(x).permute(0, 3, 1, 2), 2)
    np.testing.assert_array_equal(space_to_depth(jnp.asarray(x)), expected.permute(0, 2, 3, 1))
