"""Settings of attacks: checked when an attack is made, a pytree whose numbers are traced, equal and printed by value.
Source: this project."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast, dataclass_transform

import jax
import numpy as np

from robust_iqa_jax.attacks.arguments import check_settings
from robust_iqa_jax.attacks.objective import check_direction
from robust_iqa_jax.checks import check_eps, is_known

T = TypeVar("T")


class Settings:
    """Settings under names that mean the same in every attack; all are checked when an attack is made.

    Attributes:
      eps: largest change of a pixel (or length, for l2), in [0,1] units, > 0; None where there is no bound.
      norm: "linf" or "l2": what eps bounds.
      direction: which way scores are pushed, see attacks.objective; None where there is none.
      steps: iterations, >= 1.
      step_size: of a step, in the units of eps, > 0.
      restarts: random starts, of which each image keeps the strongest result; the first is that of restarts=1.
      random_start: False starts at the clean image, and leaves nothing to restart.
      keep_best: keep each image's strongest iterate instead of the last one.
      score_range: width of the score's scale in points, > 0.

    Raises:
      ValueError: a number that is not positive (counts: or not whole), unknown names, an eps that `checks.check_eps`
        refuses, restarts without random starts.
    """

    eps: Any = None
    norm: Any = "linf"
    direction: Any = None

    def __post_init__(self) -> None:
        """Check each setting by its name, then what they must be together."""
        check_eps(self.eps, self.norm)  # from here, so that its warning names the line that makes the attack
        check_settings(self)
        if any(field.name == "direction" for field in dataclasses.fields(cast(Any, self))):
            check_direction(self.direction)
        self.check()

    def check(self) -> None:
        """Raise ValueError for settings that do not go together; nothing, unless an attack says so."""

    def replace(self: T, **changes: Any) -> T:
        """A copy with some settings changed."""
        return dataclasses.replace(cast(Any, self), **changes)


@dataclass_transform(frozen_default=True)
def traced(*numbers: str) -> Callable[[type[T]], type[T]]:
    """Class decorator: a frozen dataclass registered as a pytree, with equality, hash and a line of text by values.

    What JAX rebuilds from leaves is not checked again: its leaves may be gradients, axes or placeholders.

    Args:
      numbers: fields that are leaves. A sweep over them compiles once; the other fields are part of the program.
    """

    def register(attack: type[T]) -> type[T]:
        kind = cast(Any, dataclasses.dataclass(frozen=True, eq=False, repr=False)(attack))
        rest = [field.name for field in dataclasses.fields(kind) if field.name not in numbers]

        def values(settings: Any, names: Iterable[str]) -> tuple[Any, ...]:
            return tuple(getattr(settings, name) for name in names)

        def flatten(settings: Any) -> tuple[list[Any], tuple[Any, ...]]:
            keys = map(jax.tree_util.GetAttrKey, numbers)
            return list(zip(keys, values(settings, numbers), strict=True)), values(settings, rest)

        def unflatten(meta: tuple[Any, ...], data: Iterable[Any]) -> Any:
            settings = object.__new__(kind)
            for name, value in zip((*numbers, *rest), (*data, *meta), strict=True):
                object.__setattr__(settings, name, value)
            return settings

        kind.__eq__, kind.__hash__, kind.__repr__ = _equal, _hash, _line
        jax.tree_util.register_pytree_with_keys(kind, flatten, unflatten)
        return kind

    return register


def _equal(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return NotImplemented
    (first, structure), (second, other_structure) = jax.tree.flatten(one), jax.tree.flatten(other)
    return structure == other_structure and all(map(_same, first, second))


def _same(one: Any, other: Any) -> bool:
    if is_known(one) and is_known(other):
        return np.array_equal(np.asarray(one), np.asarray(other))
    return one is other


def _hash(settings: Any) -> int:
    leaves, structure = jax.tree.flatten(settings)
    # Equal numbers of different types have equal hashes; + 0.0, because -0.0 == 0.0.
    return hash((structure, *((np.asarray(a, np.float64) + 0.0).tobytes() if is_known(a) else id(a) for a in leaves)))


def _line(settings: Any) -> str:
    fields = ", ".join(
        f"{field.name}={_short(getattr(settings, field.name))}" for field in dataclasses.fields(settings)
    )
    return f"{type(settings).__name__}({fields})"


def _short(value: Any) -> str:
    if isinstance(value, (jax.Array, np.ndarray, np.generic)):
        known = is_known(value) and not value.shape
        return repr(value.item()) if known else f"{value.dtype}{list(value.shape)}"
    if isinstance(value, jax.tree_util.Partial) and not jax.tree.leaves(value):
        return getattr(value.func, "__name__", type(value.func).__name__)
    text = repr(value)
    return text if len(text) <= 80 and "\n" not in text else f"<{type(value).__name__}>"
