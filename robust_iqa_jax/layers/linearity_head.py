"""LinearityHead: two-level regression from pooled features of several taps to a quality score.
Source: Li, Jiang & Jiang 2020 (arXiv 2008.03889), lidq92/LinearityIQA IQAmodel.py."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.layers.batch_norm import BatchNorm
from robust_iqa_jax.layers.dense import Dense

WIDTHS = (1024, 256, 64)


class Linear(nn.Module):
    """Dense under one more name, which stored models have; parameters `dense/kernel` (in, out), `dense/bias`."""

    features: int

    @nn.compact
    def __call__(self, x: Float[Array, "n i"]) -> Float[Array, "n o"]:
        """(n, in) -> (n, features)."""
        return Dense(self.features, name="dense")(x)


class LinearityHead(nn.Module):
    """Reduces each tap's features 1024 - 256 - 64 (linear, BN; ReLU only at the end), scores each, then all together.

    LinearityIQA reads two taps; any number works.

    Attributes:
      bn_axis_name: mapped axis over which batch statistics are averaged, None for one device.
    """

    bn_axis_name: str | None = None

    @nn.compact
    def __call__(self, taps: Sequence[Float[Array, "n f"]], *, train: bool) -> Float[Array, "n taps+1"]:
        """Pooled features of each tap -> (n, taps + 1): auxiliary score of each tap, then the score itself."""
        reduced = [self._reduce(x, f"tap{i}", train) for i, x in enumerate(taps)]
        auxiliary = [Linear(1, name=f"tap{i}_score")(x) for i, x in enumerate(reduced)]
        score = Linear(1, name="score")(jnp.concatenate(reduced, axis=-1))
        return jnp.concatenate([*auxiliary, score], axis=-1)

    def _reduce(self, x: Array, name: str, train: bool) -> Array:
        for i, width in enumerate(WIDTHS):
            x = Linear(width, name=f"{name}_linear{i}")(x)
            x = BatchNorm(axis_name=self.bn_axis_name, name=f"{name}_bn{i}")(x, train)
        return nn.relu(x)
