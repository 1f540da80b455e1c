"""What watches the steps of a run: a loss that is not finite ends it with the batch in a file, so that the step can be
looked into; a step that is compiled again, which slows a run down and goes unseen, is warned of."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import monitoring

from robust_iqa_jax.files import own_file
from robust_iqa_jax.setting_error import SettingError, setting

COMPILED = "/jax/core/compile/backend_compile_duration"
"""Event that jax.monitoring reports for each program that XLA compiles."""


class NotFinite(SettingError, FloatingPointError):
    """The loss of a step, or its gradient, is not."""


def is_finite(metrics: Mapping[str, float]) -> bool:
    """Whether loss and gradient of a step are."""
    return bool(np.isfinite([metrics["loss"], metrics["gradient_norm"]]).all())


def not_finite(metrics: Mapping[str, float], batch: Mapping[str, Any], step: int, seed: int, folder: Path) -> NotFinite:
    """The error that ends a run, once process I's batch lies in failed_batch_I.npz.

    The file holds `inputs` and `scores` as the step was given them (the process's part of the batch), `step`, counted
    from 1, and `key`, the data of the run's PRNG key, which the step folds its number into. The checkpoint from before
    the step lies beside it: the same command repeats the step.

    Args:
      metrics: of the step.
      batch: {"inputs", "scores"}.
      step: its number.
      seed: of the run.
      folder: work folder of the run.
    """
    path = folder / f"failed_batch_{jax.process_index()}.npz"
    key = np.asarray(jax.random.key_data(jax.random.key(seed)))
    with own_file(path) as temporary, temporary.open("wb") as file:
        np.savez(file, inputs=batch["inputs"], scores=batch["scores"], step=step, key=key)
    return NotFinite(
        f"step {step}: the loss is {metrics['loss']}, its gradient's norm {metrics['gradient_norm']}; "
        f"{path} has the batch and the same command repeats the step; lower {setting('learning_rate')}"
    )


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
