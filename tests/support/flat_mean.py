"""A score function with one weight, in a file that imports nothing of the package."""

from dataclasses import dataclass
from functools import partial

import jax


@partial(jax.tree_util.register_dataclass, data_fields=["weight"], meta_fields=[])
@dataclass(frozen=True)
class FlatMean:
    weight: jax.Array

    def __call__(self, images):
        return self.weight * images.mean((1, 2, 3))
