"""Local devices that share the images of an evaluation: each has a copy of the model and its part of every batch.
Ours, by jax.sharding: programs follow where their arguments lie; results differ from one device's by rounding."""

from dataclasses import dataclass
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

Count = int | Literal["all"]


@dataclass(frozen=True)
class Devices:
    """Where models and batches live; make it with `local_devices`.

    Attributes:
      mesh: the devices; None: the default one alone.
    """

    mesh: Mesh | None = None

    @property
    def count(self) -> int:
        """How many there are."""
        return 1 if self.mesh is None else self.mesh.size

    def copies(self, tree: Any) -> Any:
        """A pytree with its arrays on every device; other leaves, such as a plain function, stay as they are."""
        if self.mesh is None:
            return tree
        everywhere = NamedSharding(self.mesh, PartitionSpec())
        return jax.tree.map(lambda leaf: jax.device_put(leaf, everywhere) if _is_array(leaf) else leaf, tree)

    def parts(self, array: Any) -> Any:
        """An array whose first axis is spread evenly; its length is a multiple of `count`."""
        if self.mesh is None:
            return array
        return jax.device_put(array, NamedSharding(self.mesh, PartitionSpec(self.mesh.axis_names[0])))


ONE = Devices()


def local_devices(count: Count) -> Devices:
    """The first `count` devices of this process, or all of them.

    Raises:
      ValueError: there are fewer.
    """
    found = jax.local_devices()
    if count == "all":
        count = len(found)
    if not isinstance(count, int):
        raise ValueError(f"devices: {count!r} is no number; give 1 to {len(found)} or 'all'")
    if not 1 <= count <= len(found):
        raise ValueError(f"devices: {count} asked for, this process has {len(found)}; give 1 to {len(found)} or all")
    return ONE if count == 1 else Devices(Mesh(np.asarray(found[:count]), ("images",)))


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, (jax.Array, np.ndarray))
