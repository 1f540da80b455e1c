"""What attacks share that run another attack on a score of their own choosing: its ball, direction and coupling.
Source: this project."""

from typing import Any

from robust_iqa_jax.attacks.core import Attack
from robust_iqa_jax.attacks.objective import Direction


class Wrapped(Attack):
    """An attack that runs its field `attack`, whose settings are its own."""

    attack: Any

    def __post_init__(self) -> None:
        """Check that there is an attack, then the settings."""
        if not isinstance(self.attack, Attack):
            raise ValueError(f"attack: {self.kind} runs an attack such as riqa.attacks.pgd(), got {self.attack!r:.60}")
        super().__post_init__()

    @property
    def eps(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Of the attack."""
        return self.attack.eps

    @property
    def norm(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Of the attack."""
        return self.attack.norm

    @property
    def direction(self) -> Direction | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Of the attack."""
        return self.attack.direction

    @property
    def couples(self) -> bool:
        """Whether those of the attack do."""
        return self.attack.couples
