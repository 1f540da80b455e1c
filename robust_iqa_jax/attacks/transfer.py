"""Attacks that were made on another model: what an attacker gets who does not know the model, or its defence.
Papernot et al. 2016 (arXiv 1605.07277); a defence's blind attacks in arXiv 1802.00420 and arXiv 2002.08347."""

from dataclasses import KW_ONLY
from typing import Any

from jaxtyping import Array

from robust_iqa_jax.attacks.arguments import Images
from robust_iqa_jax.attacks.ascent import Result
from robust_iqa_jax.attacks.objective import ScoreFunction
from robust_iqa_jax.attacks.settings import traced
from robust_iqa_jax.attacks.wrapped import Wrapped
from robust_iqa_jax.pytrees import as_pytree


@traced("attack", "source")
class Transfer(Wrapped):
    """An attack on `source`, whatever model it is called with.

    Attributes:
      attack: with its own settings.
      source: images -> scores (n,): the model that the images are made on.
      label: what follows the attack's name, such as "blind" where the source is the model without its defence.
    """

    kind = "transfer"
    attack: Any
    source: Any
    _: KW_ONLY
    label: str = "transfer"

    def check(self) -> None:
        """Raise ValueError for a source that is no score function."""
        if not callable(self.source):
            raise ValueError(f"attack: a function from images to scores expected as source, got {self.source!r:.60}")

    @property
    def name(self) -> str:
        """The attack's, with the label: "pgd-8-blind"."""
        return f"{self.attack.name}-{self.label}"

    def perturb(self, scorer: ScoreFunction, keys: Array, images: Images) -> Result:
        """The attack on the source, as a pure function; the scorer is not asked."""
        return self.attack.perturb(self.source, keys, images)

    def __call__(self, scorer: ScoreFunction, key: Any, images: Any, *, chunk: int | None = None) -> Images:
        """`Attack.__call__` of the attack, on the source."""
        return self.attack(as_pytree(self.source), key, images, chunk=chunk)
