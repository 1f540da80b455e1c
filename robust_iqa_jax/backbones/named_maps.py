"""What all backbones have in common: named feature maps, functions inserted between them, starts at any of them.
The convention is ours; RobustBlocks go in between maps as in arXiv 2506.04951."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from jaxtyping import Array, Float

Insertions = Mapping[str, Callable[[Array], Array]]
"""Functions, Flax modules of the caller or plain ones, by the name of the map (or "input") that each is applied to."""


@runtime_checkable
class Backbone(Protocol):
    """How every backbone is called: normalised images -> every named feature map."""

    def __call__(
        self, x: Float[Array, "n h w c"], *, train: bool, insert: Insertions | None = None, start: str | None = None
    ) -> dict[str, Array]:
        """Run the network.

        Args:
          x: (n, h, w, 3) pixels normalised as (pixels - MEAN) / STD, the backbone's own.
          train: batch statistics (updating 'batch_stats') instead of the running ones; dropout where there is some.
          insert: each is applied to the map of its name before the network goes on. They may change height and width,
            not the channels.
          start: name of a map: x is that map, before its insertion, and only what follows it is run and returned.

        Returns:
          the maps after their insertion, by name; 'logits' of ImageNet's classes where the classifier is included.

        Raises:
          ValueError: an unknown variant, insertion or start, or an input that is not (n, h, w, 3) or too small.
        """
        ...


def first_map(
    network: str,
    x: Array,
    insert: Insertions,
    start: str | None,
    points: Sequence[str],
    taps: Sequence[str],
    min_side: int = 1,
) -> int:
    """Position of `start` in `taps`, -1 for None, the images in front of them.

    Raises:
      ValueError: in the name of the network, an unknown insertion or start, or images that are none or too small.
    """
    require_points(network, insert, points)
    first = start_index(network, start, taps)
    if start is None:
        require_images(network, x, min_side)
    return first


def require_points(network: str, insert: Insertions, points: Sequence[str]) -> None:
    """ValueError, in the name of the network, if `insert` has a name that is not among `points`."""
    if unknown := sorted(set(insert) - set(points)):
        raise ValueError(f"{network}: cannot insert at {unknown}; choose among {', '.join(points)}")


def start_index(network: str, start: str | None, taps: Sequence[str]) -> int:
    """Position of `start` in `taps`, -1 for None; ValueError for an unknown name."""
    if start is None:
        return -1
    if start not in taps:
        raise ValueError(f"{network}: cannot start at {start!r}; choose one of {', '.join(taps)}")
    return taps.index(start)


def require_images(network: str, x: Array, min_side: int = 1) -> None:
    """ValueError, in the name of the network, if x is not (n, h, w, 3) with sides of min_side or more."""
    if x.ndim != 4 or x.shape[-1] != 3 or min(x.shape[1:3]) < min_side:
        size = f" of at least {min_side} x {min_side}" if min_side > 1 else ""
        raise ValueError(f"{network}: expected images (n, h, w, 3){size}, got {x.shape}")


def inserted(insert: Insertions, name: str, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c"]:
    """The map x after the function inserted at its name, or x itself where there is none."""
    return insert[name](x) if name in insert else x
