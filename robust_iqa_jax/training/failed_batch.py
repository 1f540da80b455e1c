"""The batch of a step whose loss or gradient was not finite, as a file, so that the step can be looked into.
The checkpoint from before that step lies beside it: the same command repeats it."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from robust_iqa_jax.files import own_file


def save_failed_batch(folder: Path, batch: dict[str, Any], step: int, seed: int) -> Path:
    """Write failed_batch_I.npz of process I.

    It holds `inputs` and `scores` as the step was given them (of the process's part of the batch), `step`, counted from
    1, and `key`, the data of the run's PRNG key, which the step folds its number into.

    Args:
      folder: work folder of the run.
      batch: {"inputs", "scores"}.
      step: number of the step that failed.
      seed: of the run.

    Returns:
      path of the file.
    """
    path = folder / f"failed_batch_{jax.process_index()}.npz"
    key = np.asarray(jax.random.key_data(jax.random.key(seed)))
    with own_file(path) as temporary, temporary.open("wb") as file:
        np.savez(file, inputs=batch["inputs"], scores=batch["scores"], step=step, key=key)
    return path
