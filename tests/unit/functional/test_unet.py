"""The U-Net of attacks against a numpy transcription; its levels, its sizes."""

import jax
import numpy as np
import pytest
from quick_models import quick_jit

from robust_iqa_jax.functional.unet import init_unet, unet


def down(x, kernel):
    h, w, _ = x.shape
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    taps = [padded[a : a + h : 2, b : b + w : 2] @ kernel[a, b] for a in range(4) for b in range(4)]
    return sum(taps)


def up(x, kernel):
    """The adjoint's form: every pixel paints 4 x 4 pixels at twice the size, one of border cut away."""
    h, w, _ = x.shape
    painted = np.zeros((2 * h + 2, 2 * w + 2, kernel.shape[-1]))
    for a in range(4):
        for b in range(4):
            painted[a : a + 2 * h : 2, b : b + 2 * w : 2] += x @ kernel[3 - a, 3 - b]
    return painted[1:-1, 1:-1]


def normal(x):
    return (x - x.mean((0, 1))) / np.sqrt(x.var((0, 1)) + 1e-5)


def by_numpy(w, x):
    relu, leaky = (lambda v: np.maximum(v, 0)), (lambda v: np.where(v > 0, v, 0.2 * v))
    e1 = down(x, w["down"][0]["kernel"]) + w["down"][0]["bias"]
    e2 = normal(down(leaky(e1), w["down"][1]["kernel"]))
    e3 = down(leaky(e2), w["down"][2]["kernel"]) + w["down"][2]["bias"]
    d3 = normal(up(relu(e3), w["up"][2]["kernel"]))
    d2 = normal(up(relu(np.concatenate([d3, e2], -1)), w["up"][1]["kernel"]))
    return up(relu(np.concatenate([d2, e1], -1)), w["up"][0]["kernel"]) + w["up"][0]["bias"]


@pytest.mark.parametrize(("height", "width"), [(8, 16), (11, 9)])
def test_equals_its_transcription_image_by_image(height, width):
    with jax.enable_x64(True):
        generator = np.random.default_rng(0)
        shapes = jax.eval_shape(lambda key: init_unet(key, (8, 16, 3), 2), jax.random.key(0))
        w = jax.tree.map(lambda leaf: generator.normal(0, 0.3, leaf.shape), shapes)
        x = generator.uniform(0, 1, (2, height, width, 3))
        ours = quick_jit(unet)(w, x)
    whole = np.pad(x, ((0, 0), (0, -height % 8), (0, -width % 8), (0, 0)), "wrap")
    expected = np.stack([by_numpy(w, image)[:height, :width] for image in whole])
    np.testing.assert_allclose(ours, expected, atol=1e-10)


@pytest.mark.parametrize(("shape", "depth"), [((256, 256, 3), 8), ((512, 384, 3), 8), ((6, 5, 3), 2), ((2, 9, 1), 1)])
def test_levels_halve_the_shorter_side_to_one_pixel_and_widths_stop_at_eight_times(shape, depth):
    weights = jax.eval_shape(lambda key: init_unet(key, shape, 64), jax.random.key(0))
    kernels = [layer["kernel"].shape for layer in weights["down"]]
    assert len(kernels) == len(weights["up"]) == depth
    assert [kernel[-1] for kernel in kernels] == [64 * min(2**level, 8) for level in range(depth)]
    images = jax.ShapeDtypeStruct((2, *shape), "float32")
    assert jax.eval_shape(unet, weights, images).shape == (2, *shape)


def test_the_full_network_has_as_many_weights_as_the_sum_over_its_levels():
    parameters = jax.eval_shape(lambda key: init_unet(key, (256, 256, 3), 64), jax.random.key(0))
    down_widths = [(3, 64), (64, 128), (128, 256), (256, 512), *[(512, 512)] * 4]
    up_widths = [(512, 512), *[(1024, 512)] * 3, (1024, 256), (512, 128), (256, 64), (128, 3)]
    kernels = sum(16 * i * o for i, o in down_widths + up_widths)
    assert sum(leaf.size for leaf in jax.tree.leaves(parameters)) == kernels + 64 + 512 + 3
