"""What attacks share that look for the smallest change with a given gain of a score: their name, what they refuse.
Source: this project."""

from typing import Any

from robust_iqa_jax.attacks.core import Attack


class SmallestChange(Attack):
    """An attack that looks for the smallest change whose gain in score points is `gain`."""

    gain: Any

    def check(self) -> None:
        """Directions of whole batches are refused."""
        if self.couples:
            raise ValueError(f"attack: direction {self.direction} sets no gain for a single image; choose another one")

    @property
    def effort(self) -> str:
        """The gain in score points."""
        return f"{float(self.gain):g}"
