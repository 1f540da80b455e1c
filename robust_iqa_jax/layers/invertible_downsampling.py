"""InvertibleDownsampling: patches become channels, an isometry that shrinks the map and loses nothing.
Source: Jacobsen, Smeulders & Oyallon 2018 (arXiv 1802.07088); functional/map_resize.py."""

import flax.linen as nn
from jaxtyping import Array, Float

from robust_iqa_jax.functional.map_resize import depth_to_space, space_to_depth
from robust_iqa_jax.layers.orthogonal_conv import pair


class InvertibleDownsampling(nn.Module):
    """(..., h, w, c) -> (..., h / s, w / s, c s^2); no parameters.

    Attributes:
      strides: along both sides, or (rows, columns).
    """

    strides: int | tuple[int, int] = 2

    def __call__(self, x: Float[Array, "*n h w c"]) -> Float[Array, "*n h2 w2 c2"]:
        """Channels are ordered by channel, then row, then column of the patch.

        Raises:
          ValueError: strides that do not divide the map.
        """
        y = space_to_depth(x.reshape(-1, *x.shape[-3:]), pair(self.strides))
        return y.reshape(*x.shape[:-3], *y.shape[1:])

    def inverse(self, y: Float[Array, "*n h w c"]) -> Float[Array, "*n h2 w2 c2"]:
        """What `__call__` gave y for.

        Raises:
          ValueError: channels that are no multiple of a patch.
        """
        x = depth_to_space(y.reshape(-1, *y.shape[-3:]), pair(self.strides))
        return x.reshape(*y.shape[:-3], *x.shape[1:])
