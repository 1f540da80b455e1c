"""GroupSort: the activation that keeps norms, channels sorted within groups.
Source: arXiv 1811.05381; functional/group_sort.py."""

import flax.linen as nn
from jaxtyping import Array, Float

from robust_iqa_jax.functional.group_sort import group_sort


class GroupSort(nn.Module):
    """Sorts neighbouring channels within groups; no parameters.

    Attributes:
      group_size: channels of a group; two of them are MaxMin.
    """

    group_size: int = 2

    def __call__(self, x: Float[Array, "*n c"]) -> Float[Array, "*n c"]:
        """(..., c) -> (..., c).

        Raises:
          ValueError: groups that do not divide the channels.
        """
        return group_sort(x, self.group_size)
