"""Functions as arguments of jitted programs: with weights as leaves (models.Scorer, Partial), or plain ones without.
A plain function becomes part of the program's identity: the same function object reuses what was compiled for it."""

from collections.abc import Callable
from typing import Any

import jax
from jax.tree_util import Partial


def as_pytree(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function itself if it is a pytree, else wrapped as one without leaves."""
    return Partial(function) if _is_plain(function) else function


def as_program(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as one compiled program: a plain one jitted; a pytree, which compiles itself, as it is."""
    return jax.jit(function) if _is_plain(function) else function


def _is_plain(function: Callable[..., Any]) -> bool:
    return jax.tree_util.all_leaves([function])
