"""Resumable checkpoints of a run by orbax: the last two and the best one are kept, half-written ones never read.
A run killed at any moment goes on from the last one and ends bit-identical on CPU."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import orbax.checkpoint as ocp

from robust_iqa_jax.files import cure
from robust_iqa_jax.training.step import TrainState

Evaluations = list[tuple[int, float]]
"""(step, SROCC after it), in order."""


def best_step(evaluations: Evaluations) -> int | None:
    """Step of the highest SROCC, the first one among equals; None before any evaluation."""
    return max(evaluations, key=lambda evaluation: (evaluation[1], -evaluation[0]))[0] if evaluations else None


class Restored(NamedTuple):
    """What a checkpoint holds: the run's state, the position of its data, its evaluations up to there."""

    state: TrainState
    position: dict[str, Any]
    evaluations: Evaluations


@dataclass
class _LastTwoAndBest:
    """Preservation policy of orbax."""

    best: int | None = None

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> Sequence[bool]:
        last = len(checkpoints) - 2
        return [i >= last or checkpoint.step == self.best for i, checkpoint in enumerate(checkpoints)]


class RunCheckpoints:
    """Checkpoints under `folder`, one every `every` steps; writing happens while training goes on."""

    def __init__(self, folder: Path, every: int) -> None:
        """Open or create."""
        self._folder = folder
        self._policy = _LastTwoAndBest()
        options = ocp.CheckpointManagerOptions(preservation_policy=self._policy, save_interval_steps=every)
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options)

    def due(self, step: int) -> bool:
        """Whether the interval says that a state after this step is to be saved."""
        return self._manager.should_save(step)

    def reached_preemption(self, step: int) -> bool:
        """Whether one of several processes got SIGTERM and this is the step that all of them are to end with."""
        return self._manager.reached_preemption(step)

    def save(self, state: TrainState, position: dict[str, Any], evaluations: Evaluations) -> None:
        """Save, whatever the interval says, unless a checkpoint of this step is there.

        Raises:
          OSError: this checkpoint, or the one before, which was written meanwhile, cannot be written.
        """
        step = int(state.step)
        if step == self._manager.latest_step():
            return
        self._policy.best = best_step(evaluations)
        args = ocp.args.Composite(
            state=ocp.args.StandardSave(vars(state)),
            data=ocp.args.JsonSave({"position": position, "evaluations": evaluations}),
        )
        with self._write_errors():
            self._manager.save(step, args=args, force=True)

    def restore(self, like: TrainState, step: int | None = None) -> Restored | None:
        """The checkpoint of a step, the newest where not given; None where there is none.

        Raises:
          ValueError: it is damaged, or of another version.
        """
        with self._write_errors():
            self._manager.wait_until_finished()
        step = self._manager.latest_step() if step is None else step
        if step is None:
            return None
        shapes = jax.tree.map(ocp.utils.to_shape_dtype_struct, vars(like))
        args = ocp.args.Composite(state=ocp.args.StandardRestore(shapes), data=ocp.args.JsonRestore())
        try:
            content = self._manager.restore(step, args=args)
        except Exception as error:  # of orbax, tensorstore and JSON, of many kinds
            earlier = [other for other in self._manager.all_steps() if other < step]
            goes_on = f"goes on from step {max(earlier)}" if earlier else "begins anew"
            raise ValueError(
                f"{self._folder / str(step)}: damaged, or of another version ({_first_line(error)}); remove this "
                f"folder and the same command {goes_on}"
            ) from error
        evaluations = [(int(at), float(srocc)) for at, srocc in content["data"]["evaluations"]]
        return Restored(TrainState(**content["state"]), content["data"]["position"], evaluations)

    def __enter__(self) -> "RunCheckpoints":
        """Itself; leaving the block finishes pending writes."""
        return self

    def __exit__(self, *_: object) -> None:
        """Finish pending writes."""
        with self._write_errors():
            self._manager.wait_until_finished()
            self._manager.close()

    @contextmanager
    def _write_errors(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # of orbax and tensorstore, of many kinds
            raise OSError(
                f"{self._folder}: a checkpoint cannot be written ({_first_line(error)}); {cure(error)} and "
                "repeat the command: it goes on from the last whole one"
            ) from error


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:200]
