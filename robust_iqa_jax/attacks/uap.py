"""Universal perturbations: one pattern, fitted on some images, that raises the scores of others.
MSU's benchmark, methods uap and cumulative-uap, and the authors' attacks/uap.py (docs/sources.md 4.2)."""

from abc import abstractmethod
from dataclasses import KW_ONLY
from typing import Any, ClassVar, Literal

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from robust_iqa_jax.attacks.arguments import Images
from robust_iqa_jax.attacks.ascent import Result, adam_ascent
from robust_iqa_jax.attacks.core import Attack
from robust_iqa_jax.attacks.fitting import Fitting
from robust_iqa_jax.attacks.objective import Direction, ScoreFunction
from robust_iqa_jax.attacks.settings import traced

Pattern = Float[Array, "h w c"]
Update = Literal["adam", "gradient"]

LEARNING_RATES: dict[Update, float] = {"adam": 1e-3, "gradient": 1.0}
"""Published step sizes (MSU), in [0,1] pixel units."""


@traced("pattern", "eps")
class Universal(Attack):
    """A fitted pattern as an attack: images + eps * pattern, clipped to [0,1].

    A pattern smaller than the images is tiled from their top left corner, as MSU does; a larger one is cropped there.
    Another eps scales the pattern, which is how MSU applies one pattern at several amplitudes. The key is not used.

    Attributes:
      pattern: (h, w, c) in [-1, 1], the perturbation in units of eps.
      label: name for tables.

    Raises:
      ValueError: what `Settings` raises; on use, images with other channels than the pattern.
    """

    pattern: Any
    eps: Any = 10 / 255
    label: str = "uap"
    asks: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """The label."""
        return self.label

    def perturb(self, scorer: ScoreFunction, keys: Array, images: Images) -> Result:
        """The pattern added to every image."""
        pattern = jnp.asarray(self.pattern, images.dtype)
        if pattern.ndim != 3 or pattern.shape[-1] != images.shape[-1]:
            raise ValueError(
                f"attack: a pattern (height, width, {images.shape[-1]}) expected for these images, got {pattern.shape}"
            )
        height, width = images.shape[1:3]
        repeats = (-(-height // pattern.shape[0]), -(-width // pattern.shape[1]), 1)
        ball, eps = self.ball(images)
        perturbation = eps * jnp.tile(pattern, repeats)[None, :height, :width]
        return Result(ball.finish(images, ball.project(perturbation, eps), eps))


class UniversalFit(Fitting):
    """A fitting of one perturbation for all images. Subclasses say what it is in place of `perturbations`."""

    @abstractmethod
    def perturbation(self, parameters: Any) -> Pattern:
        """The perturbation in [0,1] pixel units, inside +-eps."""

    def perturbations(self, parameters: Any, images: Images) -> Float[Array, "1 h w c"]:
        """The one of all images."""
        return self.perturbation(parameters)[None]

    def fitted(self, parameters: Any) -> Universal:
        """The pattern as an attack."""
        return Universal(self.perturbation(parameters) / self.eps, self.eps, self.label)


@traced("eps", "learning_rate", "score_range", "epochs", "batch_size")
class UAP(UniversalFit):
    """Additive universal perturbation: the pixels of the pattern are the parameters, from zero.

    The pattern is cut to +-eps after each step. MSU's cumulative-uap scores images outside [0,1]; here both updates
    see the clipped image. MSU bounds patterns by 0.1 and draws batches anew for each step; here each epoch goes
    through a permutation of the images once.

    Attributes:
      update: "adam", or "gradient" for plain gradient steps (MSU's cumulative-uap).
      learning_rate: step size in [0,1] units; None for the published one, see LEARNING_RATES. The authors use 1e-4.
      epochs: >= 1.
      batch_size: >= 1.
      score_range: width of the score's scale in points; only "gradient" depends on it.
    """

    eps: Any = 10 / 255
    _: KW_ONLY
    direction: Direction = "raise"
    update: Update = "adam"
    learning_rate: Any = None
    epochs: int = 5
    batch_size: int = 8
    score_range: Any = 100.0

    @property
    def kind(self) -> str:
        """ "uap" or "uap-cumulative"."""
        return "uap" if self.update == "adam" else "uap-cumulative"

    def start(self, key: Array, shape: tuple[int, int, int]) -> Pattern:
        """No perturbation."""
        return jnp.zeros(shape)

    def perturbation(self, parameters: Pattern) -> Pattern:
        """The parameters themselves."""
        return parameters

    def rule(self) -> optax.GradientTransformation:
        """Adam's or the gradient's step."""
        rate = LEARNING_RATES[self.update] if self.learning_rate is None else self.learning_rate
        return adam_ascent(rate) if self.update == "adam" else optax.scale(rate)

    def project(self, parameters: Pattern) -> Pattern:
        """Cut to +-eps."""
        return jnp.clip(parameters, -self.eps, self.eps)
