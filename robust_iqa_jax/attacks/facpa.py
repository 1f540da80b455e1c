"""FACPA: a U-Net that was fitted on some photos draws the perturbation of another one in one pass.
Shumitskaya et al. 2023 (arXiv 2305.15544; ICLR Tiny Papers) and its authors' repository katiashh/FACPA."""

from dataclasses import KW_ONLY
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.attacks.arguments import Images
from robust_iqa_jax.attacks.ascent import Result
from robust_iqa_jax.attacks.core import Attack
from robust_iqa_jax.attacks.fitting import Fitting
from robust_iqa_jax.attacks.objective import Direction, ScoreFunction
from robust_iqa_jax.attacks.settings import traced
from robust_iqa_jax.functional.unet import init_unet, unet


@traced("network", "eps")
class Drawn(Attack):
    """A fitted network as an attack: images + eps tanh(U-Net(images)), clipped to [0,1]. The key is not used.

    Attributes:
      network: weights of `functional.unet.unet`.
      label: name for tables.

    Raises:
      ValueError: what `Settings` raises; on use, images with other channels than those that it was fitted on.
    """

    network: Any
    eps: Any = 10 / 255
    label: str = "facpa"
    asks: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """The label."""
        return self.label

    def perturb(self, scorer: ScoreFunction, keys: Array, images: Images) -> Result:
        """What the network draws for each image, added to it."""
        channels = self.network["down"][0]["kernel"].shape[2]
        if channels != images.shape[-1]:
            raise ValueError(f"attack: a network for images of {channels} channels, got {images.shape[-1]}")
        ball, eps = self.ball(images)
        network = jax.tree.map(lambda weights: jnp.asarray(weights, images.dtype), self.network)
        return Result(ball.finish(images, ball.project(drawn(network, images, eps), eps), eps))


@traced("eps", "learning_rate", "score_range", "epochs", "batch_size")
class FACPA(Fitting):
    """Perturbations eps * tanh(U-Net(image)), fitted by Adam on the network's weights.

    Left out of the authors' fitting: dropout, which is off when they attack; batches drawn anew for each step, where
    each epoch here goes through a permutation of the images once. They crop a photo to a multiple of 256 pixels and
    repeat what was drawn for it; here the photo is repeated, and what is drawn is cropped.

    Attributes:
      learning_rate: Adam's step size.
      epochs: >= 1; the authors' are 200.
      batch_size: >= 1.
      width: channels of the first level; they double up to 8 * width. 64, the authors', takes 54 million weights at 8
        levels.

    Raises:
      ValueError: what `Settings` raises; on fitting, images with a side of one pixel.
    """

    eps: Any = 10 / 255
    _: KW_ONLY
    direction: Direction = "raise"
    learning_rate: Any = 1e-3
    epochs: int = 10
    batch_size: int = 4
    width: int = 64
    score_range: Any = 100.0

    @property
    def kind(self) -> str:
        """ "facpa"."""
        return "facpa"

    def start(self, key: Array, shape: tuple[int, int, int]) -> dict[str, Any]:
        """Random weights."""
        return init_unet(key, shape, self.width)

    def perturbations(self, parameters: dict[str, Any], images: Images) -> Float[Array, "n h w c"]:
        """What the network draws."""
        return drawn(parameters, images, self.eps)

    def fitted(self, parameters: dict[str, Any]) -> Drawn:
        """The network as an attack."""
        return Drawn(parameters, self.eps, self.label)


def drawn(network: dict[str, Any], images: Images, eps: Any) -> Float[Array, "n h w c"]:
    """eps tanh(U-Net(images))."""
    return eps * jnp.tanh(unet(network, images))
