"""Where arrays live: copies of weights on every device, each batch in parts over them, and sums over the devices.
By jax.sharding, jax.shard_map or jax.pmap; results differ from one device's by the rounding of sums only."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

from robust_iqa_jax.setting_error import SettingError, setting

AXIS = "batch"
"""Name of the axis over which a batch is spread."""

Mode = Literal["none", "pmap", "sharded"]
Count = int | Literal["all"]
Tree = Any
Step = Callable[..., Any]


@dataclass(frozen=True)
class Devices:
    """Where models, states and batches live; make it with `run_devices` or `local_devices`.

    Attributes:
      mode: "none" (one device, the default one), "pmap" (all devices of all processes, by jax.pmap) or "sharded" (those
        of a mesh).
      mesh: the devices of "sharded".
    """

    mode: Mode = "none"
    mesh: Mesh | None = None

    @property
    def axis_name(self) -> str | None:
        """Axis that a step averages over; None on one device."""
        return None if self.mode == "none" else AXIS

    @property
    def count(self) -> int:
        """How many share a batch."""
        return self.mesh.size if self.mesh is not None else 1 if self.mode == "none" else jax.device_count()

    @property
    def part(self) -> tuple[int, int]:
        """(i, n): this process reads the i-th of n parts of each batch."""
        return jax.process_index(), jax.process_count()

    def copies(self, tree: Tree) -> Tree:
        """A pytree (equal in all processes) with its arrays on every device; other leaves, such as a plain function,
        stay as they are. On one device all leaves do."""
        if self.mode == "none":
            return tree
        return jax.tree.map(
            lambda leaf: self._copies(leaf) if isinstance(leaf, (jax.Array, np.ndarray)) else leaf, tree
        )

    def parts(self, array: Any) -> Any:
        """An array (this process's part of it) whose first axis is split evenly over the devices."""
        if self.mesh is not None:
            sharding = NamedSharding(self.mesh, PartitionSpec(AXIS))
            if self.mesh.is_multi_process:
                return jax.make_array_from_process_local_data(sharding, array)
            return jax.device_put(array, sharding)
        return array if self.mode == "none" else array.reshape(jax.local_device_count(), -1, *array.shape[1:])

    def one(self, tree: Tree) -> Tree:
        """One copy of what lies on every device: NumPy arrays; on one device as it is."""
        if self.mode == "none":
            return tree
        first = 0 if self.mode == "pmap" else ...
        return jax.tree.map(lambda leaf: np.asarray(leaf.addressable_data(0))[first], tree)

    def compile(self, step: Step) -> Step:
        """The step (state, *batch) -> (state, metrics) as a program that gives its state's memory away.

        Args:
          step: per-device function over `axis_name`, whose results are equal on all devices.
        """
        if self.mesh is not None:
            copies, parts = PartitionSpec(), PartitionSpec(AXIS)
            # check_vma off: sums over devices then differentiate as under pmap, so that one step serves both
            mapped = jax.shard_map(
                step, mesh=self.mesh, in_specs=(copies, parts, parts), out_specs=copies, check_vma=False
            )
            return jax.jit(mapped, donate_argnums=0)
        if self.mode == "none":
            return jax.jit(step, donate_argnums=0)
        program = jax.pmap(step, AXIS, donate_argnums=0)
        return _never_kept(program) if jax.default_backend() == "cpu" else program

    def _copies(self, leaf: Any) -> Array:
        if self.mesh is None:
            # where pmap leaves its results: from any other place it would compile the step a second time
            local = NamedSharding(Mesh(np.asarray(jax.local_devices()), (AXIS,)), PartitionSpec(AXIS))
            return jax.device_put(np.stack([leaf] * jax.local_device_count()), local)
        # from the host: what lies on a device of this process alone cannot be sent to those of others
        return jax.device_put(np.asarray(leaf), NamedSharding(self.mesh, PartitionSpec()))


def _never_kept(program: Step) -> Step:
    """The same program, left out of JAX's persistent cache.

    One that is read back from there deadlocks on several CPU devices: one of them waits in a mean over all of them, the
    others in a gathering of rows (jax 0.10.2; rendezvous.cc ends the process after 40 seconds).
    """
    kept = "jax_persistent_cache_min_compile_time_secs"

    def call(*args: Any) -> Any:
        before = getattr(jax.config, kept)
        jax.config.update(kept, float("inf"))
        try:
            return program(*args)
        finally:
            jax.config.update(kept, before)

    return call


ONE = Devices()


def local_devices(count: Count) -> Devices:
    """The first `count` devices of this process, or all of them.

    Raises:
      ValueError: there are fewer.
    """
    local = jax.local_devices()
    if count == "all":
        count = len(local)
    if not isinstance(count, int):
        raise ValueError(f"devices: {count!r} is no number; give 1 to {len(local)} or 'all'")
    if not 1 <= count <= len(local):
        raise ValueError(f"devices: {count} asked for, this process has {len(local)}; give 1 to {len(local)} or all")
    return ONE if count == 1 else Devices("sharded", Mesh(np.asarray(local[:count]), (AXIS,)))


def run_devices(mode: Mode, batch_size: int) -> Devices:
    """All devices of all processes, over which a training run of this mode and batch is spread; one for "none".

    Raises:
      ValueError: unknown mode, or a batch that the devices cannot share evenly.
    """
    if mode not in get_args(Mode):
        raise SettingError(f"{setting('parallel')} {mode}: choose one of {', '.join(get_args(Mode))}")
    if mode == "none":
        if jax.process_count() > 1:
            raise SettingError(
                f"{setting('parallel')} none: {jax.process_count()} processes run; choose pmap or sharded"
            )
        return ONE
    if batch_size % jax.device_count():
        raise SettingError(f"{setting('batch_size')} {batch_size}: no multiple of the {jax.device_count()} devices")
    return Devices(mode, Mesh(np.asarray(jax.devices()), (AXIS,)) if mode == "sharded" else None)


def all_rows(x: Array, axis_name: str | None) -> Array:
    """Inside a mapped function: the rows of all devices in the batch's order. One device where the axis is None."""
    return x if axis_name is None else jax.lax.all_gather(x, axis_name, tiled=True)


def mean_over_devices(tree: Tree, axis_name: str | None) -> Tree:
    """Inside a mapped function: mean over the devices, leaf by leaf."""
    return tree if axis_name is None else jax.lax.pmean(tree, axis_name)


def first_row(count: int, axis_name: str | None) -> Array | int:
    """Inside a mapped function: place in the whole batch of this device's first row, where each has `count` of them."""
    return 0 if axis_name is None else jax.lax.axis_index(axis_name) * count
