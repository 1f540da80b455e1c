"""A warning when the program of the training step is compiled a second time, which slows a run down and goes unseen.
Counts the events that jax.monitoring reports for each program that XLA compiles."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from jax import monitoring

COMPILED = "/jax/core/compile/backend_compile_duration"


@contextmanager
def compiled_once(step: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """The same function, which warns (RuntimeWarning, once) when a call after the first one compiles anything."""
    compiled, calls, warned = 0, 0, False

    def count(event: str, duration_secs: float, **kwargs: str | int) -> None:
        nonlocal compiled
        compiled += event == COMPILED

    def watched(*args: Any) -> Any:
        nonlocal calls, warned
        calls, before = calls + 1, compiled
        result = step(*args)
        if calls > 1 and compiled > before and not warned:
            warned = True
            warnings.warn(
                f"training step: compiled again at call {calls}; do shapes or types of its batches change?",
                RuntimeWarning,
                stacklevel=2,
            )
        return result

    monitoring.register_event_duration_secs_listener(count)
    try:
        yield watched
    finally:
        monitoring.unregister_event_duration_listener(count)
