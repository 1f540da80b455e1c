"""Purification: any scorer behind what is done to its photos first, once or averaged over several draws.
Defences at inference of the benchmark arXiv 2408.01541; differentiable as purifiers.py says, so attacks see through."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.attacks.eot import content_keys
from robust_iqa_jax.attacks.objective import ScoreFunction
from robust_iqa_jax.checks import checked_images, unknown
from robust_iqa_jax.defenses.purifiers import BitDepth, Blur, Images, Jpeg, Median, Purifier, Resize, Unsharp
from robust_iqa_jax.defenses.random_purifiers import Crop, Flip, Noise, RandomResize, Rotate
from robust_iqa_jax.pytrees import as_pytree
from robust_iqa_jax.wording import parse_eps

Average = Literal["mean", "median"]
AVERAGES: dict[Average, Callable[[Array], Array]] = {"mean": lambda x: x.mean(0), "median": lambda x: jnp.median(x, 0)}


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["scorer"],
    meta_fields=["purifier", "draws", "average", "seed"],
)
@dataclass(frozen=True, eq=False)
class Purified:
    """A scorer behind a purifier: images -> scores (n,), a pytree that is jitted and differentiable as the scorer is.

    What is drawn for an image follows from the seed and its pixels (`content_keys`): a photo has one score, alone and
    in a batch.

    Attributes:
      scorer: images -> (n,).
      purifier: applied to the images.
      draws: of a purifier that draws, over which the scores are averaged; >= 1.
      average: "mean" or "median".
      seed: of the draws; attackers know all but this.
    """

    scorer: ScoreFunction
    purifier: Purifier
    draws: int = 1
    average: Average = "mean"
    seed: int = 0

    def __call__(self, images: Images) -> Float[Array, " n"]:
        """Scores (n,) of images in [0,1].

        Raises:
          ValueError: pixels outside [0,1], or what the purifier or the scorer refuses.
        """
        return _scores(self, checked_images(images, "scorer"))

    def draw(self, keys: Array, images: Images) -> Float[Array, " n"]:
        """Scores (n,) after one draw, a key an image."""
        return self.scorer(self.purifier(keys, images))

    @property
    def spec(self) -> Any:
        """Of a trained scorer."""
        return self.scorer.spec  # pyright: ignore[reportFunctionMemberAccess]

    def prepare(self) -> "Purified":
        """Itself: `Defense.on` gets a prepared scorer where that is faster."""
        return self


@jax.jit
def _scores(purified: Purified, images: Images) -> Float[Array, " n"]:
    keys = content_keys(jax.random.key(purified.seed), images)
    if not purified.purifier.random:
        return purified.draw(keys, images)
    fold = jax.vmap(jax.random.fold_in, (0, None))
    one = jax.checkpoint(lambda i: purified.draw(fold(keys, i), images))
    return AVERAGES[purified.average](jax.lax.map(one, jnp.arange(purified.draws)))


@dataclass(frozen=True)
class Defense:
    """What is put in front of a scorer, see `Purified`.

    Raises:
      ValueError: draws below 1, or several of a purifier that does not draw.
    """

    purifier: Purifier
    draws: int = 1
    average: Average = "mean"

    def __post_init__(self) -> None:
        """Check the draws."""
        if self.draws < 1:
            raise ValueError(f"defense: {self.purifier.name}: one draw or more expected, got {self.draws}")
        if self.draws > 1 and not self.purifier.random:
            raise ValueError(f"defense: {self.purifier.name} draws nothing; drop the {self.draws} draws")

    @property
    def name(self) -> str:
        """Short name for tables: "jpeg-75", "crop-0.9-x8", "smooth-0.05-x64"."""
        name = self.purifier.name.replace("noise", "smooth") if self.average == "median" else self.purifier.name
        return f"{name}-x{self.draws}" if self.draws > 1 else name

    @property
    def random(self) -> bool:
        """Whether it draws, so that attacks on it average (attacks.eot)."""
        return self.purifier.random

    def on(self, scorer: ScoreFunction, seed: int = 0) -> Purified:
        """The scorer behind this defence."""
        return Purified(as_pytree(scorer), self.purifier, self.draws, self.average, seed)


@dataclass(frozen=True)
class Entry:
    """One defence by name.

    Attributes:
      make: class of its purifier, whose first field is the parameter of "name:parameter".
      description: one line.
      draws, average: where "name:parameter:draws" does not say.
    """

    make: Callable[..., Purifier]
    description: str
    draws: int = 1
    average: Average = "mean"


DEFENSES: dict[str, Entry] = {
    "jpeg": Entry(Jpeg, "compression at a quality (75)"),
    "blur": Entry(Blur, "Gaussian of a standard deviation in pixels (1)"),
    "median": Entry(Median, "median over a square of a side in pixels (3)"),
    "resize": Entry(Resize, "down to a share of the sides and up (0.5)"),
    "bits": Entry(BitDepth, "fewer levels: bits a channel (4)"),
    "unsharp": Entry(Unsharp, "unsharp mask of a strength (0.5)"),
    "crop": Entry(Crop, "a random window of a share of the sides (0.9)"),
    "flip": Entry(Flip, "mirrored at a chance (0.5)"),
    "rotate": Entry(Rotate, "a random angle up to some degrees (3)"),
    "random-resize": Entry(RandomResize, "down to a random share of the sides from some on (0.5), and up"),
    "noise": Entry(Noise, "white noise of a standard deviation in [0,1] pixels (0.05)"),
    "smooth": Entry(Noise, "the median score under such noise (0.05), of 64 draws", 64, "median"),
}
"""What `riqa evaluate --defense` knows; adding one is adding a line."""


def parse_defense(text: str) -> Defense:
    """A defence from "name", "name:parameter" or, for one that draws, "name:parameter:draws".

    Raises:
      ValueError: an unknown name, a parameter that is no number, or one that the defence refuses.
    """
    name, *numbers = text.split(":")
    if name not in DEFENSES:
        raise ValueError(f"defense: {unknown('defense', name, DEFENSES)}")
    entry = DEFENSES[name]
    if len(numbers) > 2 or not all(numbers):
        raise ValueError(f"defense: {text!r}: give name, name:parameter or name:parameter:draws, such as {name}:1")
    try:
        parameter = [parse_eps(number) for number in numbers[:1]]
        draws = int(numbers[1]) if numbers[1:] else entry.draws
    except ValueError as error:
        raise ValueError(f"defense: {text!r}: the parameter is a number, the draws a whole one") from error
    return Defense(entry.make(*parameter), draws, entry.average)
