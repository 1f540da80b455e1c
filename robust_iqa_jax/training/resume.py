"""Resumable checkpoints of a run: state and data position by orbax, the last two kept, half-written ones never read.
A run killed at any moment goes on from the last one and ends bit-identical on CPU."""

from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from robust_iqa_jax.training.step import TrainState


class RunCheckpoints:
    """Checkpoints under `folder`, one every `every` steps; writing happens while training goes on."""

    def __init__(self, folder: Path, every: int) -> None:
        """Open or create."""
        options = ocp.CheckpointManagerOptions(max_to_keep=2, save_interval_steps=every)
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options)

    def due(self, step: int) -> bool:
        """Whether the interval says that a state after this step is to be saved."""
        return self._manager.should_save(step)

    def all_told_to_end(self, step: int) -> bool:
        """Whether one of several processes got SIGTERM and this is the step that all of them are to end with."""
        return self._manager.reached_preemption(step)

    def save(self, state: TrainState, data_state: dict[str, Any]) -> None:
        """Save, whatever the interval says, unless a checkpoint of this step is there."""
        step = int(state.step)
        if step == self._manager.latest_step():
            return
        args = ocp.args.Composite(state=ocp.args.StandardSave(vars(state)), data=ocp.args.JsonSave(data_state))
        self._manager.save(step, args=args, force=True)

    def restore(self, like: TrainState) -> tuple[TrainState, dict[str, Any]] | None:
        """The newest state and data position, None where there is none."""
        step = self._manager.latest_step()
        if step is None:
            return None
        shapes = jax.tree.map(ocp.utils.to_shape_dtype_struct, vars(like))
        args = ocp.args.Composite(state=ocp.args.StandardRestore(shapes), data=ocp.args.JsonRestore())
        restored = self._manager.restore(step, args=args)
        return TrainState(**restored["state"]), restored["data"]

    def __enter__(self) -> "RunCheckpoints":
        """Itself; leaving the block finishes pending writes."""
        return self

    def __exit__(self, *_: object) -> None:
        """Finish pending writes."""
        self._manager.wait_until_finished()
        self._manager.close()
