"""Dense layer with torch's default initialisation, which depends on the channels of its input.
Source: torch.nn.Linear."""

import flax.linen as nn
from jaxtyping import Array, Float

from robust_iqa_jax.functional.elementwise import over
from robust_iqa_jax.layers.initializers import fan_in_uniform


class Dense(nn.Module):
    """x kernel + bias over the last axis; parameters `kernel` (in, features), `bias` (features)."""

    features: int

    @nn.compact
    def __call__(self, x: Float[Array, "*n i"]) -> Float[Array, "*n o"]:
        """(..., in) -> (..., features)."""
        init = fan_in_uniform(x.shape[-1])
        kernel = self.param("kernel", init, (x.shape[-1], self.features))
        y = x @ kernel
        return y + over(self.param("bias", init, (self.features,)), y)
