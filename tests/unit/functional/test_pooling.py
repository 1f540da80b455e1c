"""Poolings against plain numpy loops over windows, and the published sizes of the RobustBlock's square pooling."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_models import quick_jit

from robust_iqa_jax.functional.pooling import avg_pool, max_pool, pool_to_square, spsp_pool

STATISTICS = {"avg": np.mean, "mean": np.mean, "max": np.max, "min": np.min, "std": np.std}


def by_loops(x, levels, kind):
    features = []
    for p in range(1, levels + 1):
        h, w = x.shape[1] // p, x.shape[2] // p
        for part in kind.split("+"):
            maps = np.array([
                [STATISTICS[part](x[:, r : r + h, c : c + w], axis=(1, 2)) for c in range(0, x.shape[2] - w + 1, w)]
                for r in range(0, x.shape[1] - h + 1, h)
            ])  # fmt: skip
            features.append(maps.transpose(2, 3, 0, 1).reshape(len(x), -1))
    return np.concatenate(features, axis=1)


@pytest.mark.parametrize("kind", ["max", "avg"])
@pytest.mark.parametrize(("window", "stride", "padding"), [(3, 2, 0), (3, 2, 1), (3, 1, 1), (2, 2, 0), (5, 3, 2)])
def test_windows_take_the_statistic_of_the_pixels_that_are_there(kind, window, stride, padding):
    x = np.random.default_rng(0).normal(size=(2, 8, 11, 3)).astype(np.float32)
    pooled = quick_jit(max_pool if kind == "max" else avg_pool, static_argnums=(1, 2, 3))(x, window, stride, padding)
    padded = np.pad(x, ((0, 0), (padding,) * 2, (padding,) * 2, (0, 0)), constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (window, window), (1, 2))[:, ::stride, ::stride]
    expected = (np.nanmax if kind == "max" else np.nanmean)(windows, axis=(-2, -1))
    np.testing.assert_allclose(pooled, expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["avg", "max", "min", "std", "max+min", "mean+std"])
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_spsp_equals_loops_over_windows(kind, levels):
    x = np.random.default_rng(0).normal(size=(2, 7, 9, 5)).astype(np.float32)
    pooled = quick_jit(spsp_pool, static_argnums=(1, 2))(x, levels, kind)
    np.testing.assert_allclose(pooled, by_loops(x, levels, kind), atol=1e-6)


@pytest.mark.parametrize(
    ("size", "side"),
    # docs/sources.md 1.5: LinearityIQA positions 1, 2, 4, 6 at 498x664, KonCept at 384x512 and 768x1024
    [((498, 664), 488), ((125, 166), 122), ((63, 83), 61), ((32, 42), 31), ((10, 14), 9), ((22, 30), 21), ((8, 8), 8)],
)
def test_pool_to_square_has_the_published_sizes_in_both_orientations(size, side):
    for shape in (size, size[::-1]):
        pooled = jax.eval_shape(pool_to_square, jax.ShapeDtypeStruct((1, *shape, 1), jnp.float32))
        assert pooled.shape == (1, side, side, 1)


def test_pool_to_square_takes_maxima_of_windows_and_mirrors():
    x = np.random.default_rng(0).normal(size=(1, 10, 14, 2)).astype(np.float32)
    pooled = np.asarray(quick_jit(pool_to_square)(x))  # window (2, 6)
    expected = np.array([[x[0, r : r + 2, c : c + 6].max((0, 1)) for c in range(9)] for r in range(9)])
    np.testing.assert_array_equal(pooled[0], expected)
    mirrored = quick_jit(pool_to_square)(x.swapaxes(1, 2))
    np.testing.assert_array_equal(np.asarray(mirrored).swapaxes(1, 2), pooled)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="unknown kind 'mode'"):
        spsp_pool(jnp.zeros((1, 4, 4, 1)), 1, "mode")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"levels must lie in 1\.\.4"):
        spsp_pool(jnp.zeros((1, 4, 6, 1)), 5)
