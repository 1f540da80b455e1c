"""Generative universal perturbation: a U-Net over a fixed random input draws the pattern, and is what is fitted.
MSU's benchmark, method generative-uap, after Poursaeed et al. 2018 (arXiv 1712.02328)."""

from dataclasses import KW_ONLY
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from robust_iqa_jax.attacks.ascent import adam_ascent
from robust_iqa_jax.attacks.objective import Direction
from robust_iqa_jax.attacks.settings import traced
from robust_iqa_jax.attacks.uap import Pattern, UniversalFit
from robust_iqa_jax.functional.conv2d import conv2d
from robust_iqa_jax.functional.elementwise import over

DEEPEST = 8
"""Levels at most; MSU's, which take its 256 x 256 input to one pixel."""


@traced("eps", "learning_rate", "score_range", "epochs", "batch_size")
class GenerativeUAP(UniversalFit):
    """Universal perturbation eps * tanh(U-Net(noise)), fitted by Adam on the network's weights.

    The noise is drawn once, uniform in [0,1], and stays. Levels: as many halvings as the shorter side has, 8 at most;
    a pattern whose sides they do not divide is drawn larger, over repeated noise, and cropped.

    Left out of MSU's network: dropout, which is never switched off there, so that the pattern it returns was not the
    one fitted; and its cut of the *input* to +-eps after each step.

    Attributes:
      learning_rate: Adam's step size.
      epochs: >= 1.
      batch_size: >= 1.
      width: channels of the first level; they double up to 8 * width. 64 takes 54 million weights at 8 levels.

    Raises:
      ValueError: what `Settings` raises; on fitting, images with a side of one pixel.
    """

    eps: Any = 10 / 255
    _: KW_ONLY
    direction: Direction = "raise"
    learning_rate: Any = 1e-3
    epochs: int = 1
    batch_size: int = 8
    width: int = 64
    score_range: Any = 100.0

    @property
    def kind(self) -> str:
        """ "uap-generative"."""
        return "uap-generative"

    def start(self, key: Array, shape: tuple[int, int, int]) -> dict[str, Any]:
        """Random weights and the noise that they are applied to."""
        height, width, channels = shape
        if min(height, width) < 2:
            raise ValueError(f"attack: a generated pattern needs sides of 2 pixels or more, got {height} x {width}")
        weights, noise = jax.random.split(key)
        depth = min(DEEPEST, min(height, width).bit_length() - 1)
        return {"unet": init_unet(weights, depth, channels, self.width), "noise": jax.random.uniform(noise, shape)}

    def perturbation(self, parameters: dict[str, Any]) -> Pattern:
        """What the network draws, inside +-eps."""
        noise = jax.lax.stop_gradient(parameters["noise"])  # so that Adam leaves it as it is
        height, width, _ = noise.shape
        multiple = 2 ** len(parameters["unet"]["down"])
        padded = jnp.pad(noise, ((0, -height % multiple), (0, -width % multiple), (0, 0)), "wrap")
        return self.eps * jnp.tanh(unet(parameters["unet"], padded)[:height, :width])

    def rule(self) -> optax.GradientTransformation:
        """Adam."""
        return adam_ascent(self.learning_rate)

    def project(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Nothing to do: tanh keeps the ball."""
        return parameters


def init_unet(key: Array, depth: int, channels: int, width: int) -> dict[str, Any]:
    """Weights of `unet`: normal kernels of variance 1 / fan-in, biases of zero where no normalisation follows.

    Args:
      key: of the kernels.
      depth: halvings, >= 1.
      channels: of the pattern.
      width: channels of the first level; level i has min(2^i, 8) times as many.
    """
    widths = [width * min(2**level, 8) for level in range(depth)]
    sides = [
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
        for side, inputs, outputs, biased in sides
    }


def unet(weights: dict[str, Any], image: Float[Array, "h w c"]) -> Float[Array, "h w c"]:
    """U-Net of 4 x 4 convolutions of stride 2, down and up, with skips between levels of one size.

    Leaky ReLU (0.2) before each convolution down but the first, ReLU before each up; instance normalisation behind
    all but the first and the last down and the last up, which have biases instead.

    Args:
      weights: of init_unet.
      image: sides divisible by 2^depth.
    """
    x, maps = image[None], []
    for level, layer in enumerate(weights["down"]):
        x = jax.nn.leaky_relu(x, 0.2) if level else x
        maps.append(x := _finished(conv2d(x, layer["kernel"], 2, 1), layer))
    for level, layer in reversed(list(enumerate(weights["up"]))):
        x = x if level == len(maps) - 1 else jnp.concatenate([x, maps[level]], -1)
        x = _finished(doubled(jax.nn.relu(x), layer["kernel"]), layer)
    return x[0]


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
