"""U-Net that draws a perturbation: of noise or of a photo (attacks/uap_generator.py, attacks/facpa.py).
The generator of MSU's generative-uap and of FACPA (arXiv 2305.15544); Poursaeed et al. 2018 (arXiv 1712.02328)."""

from typing import Any, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.functional.conv2d import conv2d
from robust_iqa_jax.functional.elementwise import over

DEEPEST = 8
"""Levels at most; the published ones, which take a 256 x 256 input to one pixel."""


def init_unet(key: Array, shape: tuple[int, int, int], width: int) -> dict[str, Any]:
    """Weights of `unet`: normal kernels of variance 1 / fan-in, biases of zero where no normalisation follows.

    As many levels as the images' shorter side has halvings, 8 at most.

    Args:
      key: of the kernels.
      shape: (height, width, channels) of the images.
      width: channels of the first level; level i has min(2^i, 8) times as many.

    Raises:
      ValueError: images with a side of one pixel.
    """
    *sides, channels = shape
    if min(sides) < 2:
        raise ValueError(f"U-Net: images with sides of 2 pixels or more expected, got {sides[0]} x {sides[1]}")
    depth = min(DEEPEST, min(sides).bit_length() - 1)
    widths = [width * min(2**level, 8) for level in range(depth)]
    halves = [
        ("down", [channels, *widths[:-1]], widths, {0, depth - 1}),
        ("up", [*(2 * width for width in widths[:-1]), widths[-1]], [channels, *widths[:-1]], {0}),
    ]
    keys = iter(jax.random.split(key, 2 * depth))
    return {
        side: [
            {"kernel": jax.random.normal(next(keys), (4, 4, i, o)) / (16 * i) ** 0.5}
            | ({"bias": jnp.zeros(o)} if level in biased else {})
            for level, (i, o) in enumerate(zip(inputs, outputs, strict=True))
        ]
        for side, inputs, outputs, biased in halves
    }


def unet(weights: dict[str, Any], images: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
    """U-Net of 4 x 4 convolutions of stride 2, down and up, with skips between levels of one size.

    Images whose sides the levels do not divide are repeated to sides that they do, and the result is cropped.

    Leaky ReLU (0.2) before each convolution down but the first, ReLU before each up; instance normalisation behind
    all but the first and the last down and the last up, which have biases instead.

    Args:
      weights: of init_unet.
      images: of any size.
    """
    height, width = images.shape[1:3]
    multiple = 2 ** len(weights["down"])
    x, maps = jnp.pad(images, ((0, 0), (0, -height % multiple), (0, -width % multiple), (0, 0)), "wrap"), []
    for level, layer in enumerate(weights["down"]):
        x = jax.nn.leaky_relu(x, 0.2) if level else x
        maps.append(x := _finished(conv2d(x, layer["kernel"], 2, 1), layer))
    for level, layer in reversed(list(enumerate(weights["up"]))):
        x = x if level == len(maps) - 1 else jnp.concatenate([x, maps[level]], -1)
        x = _finished(doubled(jax.nn.relu(x), layer["kernel"]), layer)
    return x[:, :height, :width]


def doubled(x: Float[Array, "n h w i"], kernel: Float[Array, "4 4 i o"]) -> Float[Array, "n 2h 2w o"]:
    """Transposed convolution of stride 2, lax.conv_transpose(x, kernel, (2, 2), "SAME").

    Output 2m reads x[m - 1], x[m] through taps 0, 2 and output 2m + 1 reads x[m], x[m + 1] through taps 1, 3: four
    2 x 2 convolutions, one for each parity of row and column. XLA's own takes a CPU many times as long.
    """
    n, height, width, _ = x.shape
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))

    def of_parity(row: int, column: int) -> Array:
        window = x[:, row : row + height + 1, column : column + width + 1]
        return cast(Array, conv2d(window, kernel[row::2, column::2]))

    parities = jnp.stack([jnp.stack([of_parity(a, 0), of_parity(a, 1)], 3) for a in range(2)], 2)  # n, h, 2, w, 2, o
    return parities.reshape(n, 2 * height, 2 * width, -1)


def _finished(x: Array, layer: dict[str, Array]) -> Array:
    if "bias" in layer:
        return x + over(layer["bias"], x)
    return (x - x.mean((1, 2), keepdims=True)) / jnp.sqrt(x.var((1, 2), keepdims=True) + 1e-5)
