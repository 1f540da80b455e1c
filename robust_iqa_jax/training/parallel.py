"""A training step on several devices: the same per-device function under jax.pmap, or under jit over a device mesh.
Both split the batch along one axis and keep a copy of the state on every device; the third way is a single device."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

AXIS = "batch"
"""Name of the mapped axis in the step."""

Mode = Literal["none", "pmap", "sharded"]
Tree = Any


@dataclass(frozen=True)
class Parallel:
    """Where a run's state and batches live; make it with `parallel`.

    Attributes:
      mode: "none" (one device), "pmap" or "sharded" (all devices of all processes).
      mesh: all devices, for "sharded".
    """

    mode: Mode
    mesh: Mesh | None = None

    @property
    def axis_name(self) -> str | None:
        """Axis that the step averages over; None on one device."""
        return None if self.mode == "none" else AXIS

    @property
    def devices(self) -> int:
        """Devices that share a batch."""
        return 1 if self.mode == "none" else jax.device_count()

    def compile(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """The step (state, inputs, scores) -> (state, metrics) as a program that gives its state's memory away.

        Args:
          step: per-device function over `axis_name`, whose results are equal on all devices.
        """
        if self.mode == "none":
            return jax.jit(step, donate_argnums=0)
        if self.mode == "pmap":
            return jax.pmap(step, AXIS, donate_argnums=0)
        assert self.mesh is not None
        copies, parts = PartitionSpec(), PartitionSpec(AXIS)
        # check_vma off: sums over devices then differentiate as under pmap, so that one step serves both
        mapped = jax.shard_map(step, mesh=self.mesh, in_specs=(copies, parts, parts), out_specs=copies, check_vma=False)
        return jax.jit(mapped, donate_argnums=0)

    def put_state(self, state: Tree) -> Tree:
        """A state (equal in all processes) onto all devices."""
        if self.mode == "none":
            # to a named device, as restored arrays are: a mixture of both kinds would compile the step a second time
            return jax.device_put(state, jax.local_devices()[0])
        if self.mode == "pmap":
            # where pmap leaves its results: from any other place it would compile the step a second time
            local = NamedSharding(Mesh(np.asarray(jax.local_devices()), (AXIS,)), PartitionSpec(AXIS))
            copies = jax.local_device_count()
            return jax.tree.map(lambda leaf: jax.device_put(np.stack([leaf] * copies), local), state)
        assert self.mesh is not None
        # from the host: what lies on a device of this process alone cannot be sent to those of others
        return jax.device_put(jax.tree.map(np.asarray, state), NamedSharding(self.mesh, PartitionSpec()))

    def put_batch(self, *arrays: np.ndarray) -> tuple[Any, ...]:
        """This process's part of a batch, split over its devices."""
        if self.mode == "none":
            return arrays
        if self.mode == "pmap":
            return tuple(a.reshape(jax.local_device_count(), -1, *a.shape[1:]) for a in arrays)
        assert self.mesh is not None
        sharding = NamedSharding(self.mesh, PartitionSpec(AXIS))
        return tuple(jax.make_array_from_process_local_data(sharding, a) for a in arrays)

    def get(self, tree: Tree) -> Tree:
        """One copy of a state or of metrics: as it is on one device, as NumPy arrays from several."""
        if self.mode == "none":
            return tree
        first = 0 if self.mode == "pmap" else ...
        return jax.tree.map(lambda leaf: np.asarray(leaf.addressable_data(0))[first], tree)

    @property
    def part(self) -> tuple[int, int]:
        """(i, n): this process reads the i-th of n parts of each batch."""
        return jax.process_index(), jax.process_count()


def parallel(mode: Mode, batch_size: int) -> Parallel:
    """How a run of this mode and batch is spread over the devices at hand.

    Raises:
      ValueError: unknown mode, or a batch that the devices cannot share evenly.
    """
    if mode not in get_args(Mode):
        raise ValueError(f"--parallel {mode}: choose one of {', '.join(get_args(Mode))}")
    if mode == "none":
        if jax.process_count() > 1:
            raise ValueError(f"--parallel none: {jax.process_count()} processes run; choose pmap or sharded")
        return Parallel(mode)
    if batch_size % jax.device_count():
        raise ValueError(f"--batch-size {batch_size}: no multiple of the {jax.device_count()} devices")
    return Parallel(mode, Mesh(np.asarray(jax.devices()), (AXIS,)) if mode == "sharded" else None)
