"""SIGTERM, by which schedulers say that a process is about to end: noted, so that a run finishes its step and saves it.
Sources: POSIX; for several processes the preemption service of jax.distributed, by which they end at the same step."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Terminated(Exception):
    """The run was asked to end and has saved all its steps."""


@contextmanager
def preemption(of_several: Callable[[int], bool]) -> Iterator[Callable[[int], bool]]:
    """A function that says, asked once after each step, whether the run is to end with this step.

    One process: within the block a first SIGTERM makes it say so, and a second one acts as it did before. Python has no
    signals in other threads than the main one; SIGTERM there acts as before.

    Args:
      of_several: step -> the same where there are several processes; JAX has its own handler in each of them.
    """
    import jax  # here: the command line looks at Terminated before there is any JAX

    if jax.process_count() > 1:
        yield of_several
        return
    requested = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield lambda step: False
        return

    def request(*_: object) -> None:
        requested.set()
        signal.signal(signal.SIGTERM, before)

    before = signal.getsignal(signal.SIGTERM) or signal.SIG_DFL  # None: a handler that is not Python's
    signal.signal(signal.SIGTERM, request)
    try:
        yield lambda step: requested.is_set()
    finally:
        signal.signal(signal.SIGTERM, before)
