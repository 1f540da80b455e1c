"""Batch normalisation with PyTorch's statistics: the running variance is the unbiased one, flax.linen's the biased.
Sources: arXiv 1502.03167, algorithms 1 and 2; torch.nn.BatchNorm2d (running_var)."""

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from robust_iqa_jax.functional.elementwise import as_float, over


class BatchNorm(nn.Module):
    """(x - mean) / sqrt(var + epsilon) * scale + bias over all axes but the last, in float32 or wider.

    Parameters `scale`, `bias`; running statistics `mean`, `var` in the collection 'batch_stats'. In training they move
    where that collection is mutable and stay as they are where it is not.

    Attributes:
      epsilon: 1e-5 in most networks, 1e-3 in TensorFlow's.
      momentum: share of the old running statistics in the new ones; 0.9 is PyTorch's 0.1.
      axis_name: mapped axis over which the batch's statistics are averaged, None for one device.
    """

    epsilon: float = 1e-5
    momentum: float = 0.9
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "*n c"], train: bool) -> Float[Array, "*n c"]:
        """Normalise with the batch's statistics (train) or the running ones, in x's type; float32 for integers."""
        x = as_float(x)
        shape, dtype = (x.shape[-1],), jnp.promote_types(x.dtype, jnp.float32)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, shape, jnp.float32)
        running_var = self.variable("batch_stats", "var", jnp.ones, shape, jnp.float32)
        scale = self.param("scale", nn.initializers.ones, shape)
        bias = self.param("bias", nn.initializers.zeros, shape)
        mean, var, wide = running_mean.value, running_var.value, x.astype(dtype)
        if train:
            axes = tuple(range(x.ndim - 1))
            mean = wide.mean(axes)
            if self.axis_name is not None and not self.is_initializing():
                mean = lax.pmean(mean, self.axis_name)
            var = jnp.square(wide - over(mean, wide)).mean(axes)
            count = x.size // x.shape[-1]
            if self.axis_name is not None and not self.is_initializing():
                var, count = lax.pmean(var, self.axis_name), count * lax.axis_size(self.axis_name)
            if self.is_mutable_collection("batch_stats") and not self.is_initializing():
                unbiased = var * (count / max(1, count - 1))
                for running, value in ((running_mean, mean), (running_var, unbiased)):
                    running.value = self.momentum * running.value + (1 - self.momentum) * value
        factor = scale * lax.rsqrt(var + self.epsilon)
        if train:  # around the mean first: it may be large against the deviation
            return ((wide - over(mean, wide)) * over(factor, wide) + over(bias, wide)).astype(x.dtype)
        return (wide * over(factor, wide) + over(bias - mean * factor, wide)).astype(x.dtype)
