"""Functions as arguments of jitted programs: with weights as leaves (models.Scorer, Partial), or plain ones without.
A plain function becomes part of the program's identity: the same function object reuses what was compiled for it."""

from collections.abc import Callable
from typing import Any

import jax
from jax.tree_util import Partial


def as_pytree(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function itself if it is a pytree, else wrapped as one without leaves."""
    return Partial(_hashable(function)) if _is_plain(function) else function


def as_program(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as one compiled program: a plain one jitted; a pytree, which compiles itself, as it is."""
    return jax.jit(_hashable(function)) if _is_plain(function) else function


class _ByIdentity:
    """A callable object that cannot be hashed, such as a dataclass with a __call__, known by what it is."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self.function(*arguments, **options)

    def __hash__(self) -> int:
        return id(self.function)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByIdentity) and self.function is other.function


def _hashable(function: Callable[..., Any]) -> Callable[..., Any]:
    try:
        hash(function)
    except TypeError:
        return _ByIdentity(function)
    return function


def _is_plain(function: Callable[..., Any]) -> bool:
    return jax.tree_util.all_leaves([function])
