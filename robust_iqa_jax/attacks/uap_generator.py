"""Generative universal perturbation: a U-Net over a fixed random input draws the pattern, and is what is fitted.
MSU's benchmark, method generative-uap, after Poursaeed et al. 2018 (arXiv 1712.02328)."""

from dataclasses import KW_ONLY
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from robust_iqa_jax.attacks.objective import Direction
from robust_iqa_jax.attacks.settings import traced
from robust_iqa_jax.attacks.uap import Pattern, UniversalFit
from robust_iqa_jax.functional.unet import init_unet, unet


@traced("eps", "learning_rate", "score_range", "epochs", "batch_size")
class GenerativeUAP(UniversalFit):
    """Universal perturbation eps * tanh(U-Net(noise)), fitted by Adam on the network's weights.

    The noise is drawn once, uniform in [0,1], and stays.

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
        weights, noise = jax.random.split(key)
        return {"unet": init_unet(weights, shape, self.width), "noise": jax.random.uniform(noise, shape)}

    def perturbation(self, parameters: dict[str, Any]) -> Pattern:
        """What the network draws, inside +-eps."""
        noise = jax.lax.stop_gradient(parameters["noise"])  # so that Adam leaves it as it is
        return self.eps * jnp.tanh(unet(parameters["unet"], noise[None])[0])
