"""Named feature maps: what every backbone does with its arguments `insert` and `start`.
The convention is ours; RobustBlocks go in between maps as in arXiv 2506.04951."""

from collections.abc import Callable, Mapping, Sequence

from jaxtyping import Array, Float


def require_points(network: str, insert: Mapping[str, Callable[[Array], Array]], points: Sequence[str]) -> None:
    """ValueError, in the name of the network, if `insert` has a name that is not among `points`."""
    if unknown := sorted(set(insert) - set(points)):
        raise ValueError(f"{network}: cannot insert at {unknown}; choose among {', '.join(points)}")


def start_index(network: str, start: str | None, taps: Sequence[str]) -> int:
    """Position of `start` in `taps`, -1 for None, the images in front of them; ValueError for an unknown name."""
    if start is None:
        return -1
    if start not in taps:
        raise ValueError(f"{network}: cannot start at {start!r}; choose one of {', '.join(taps)}")
    return taps.index(start)


def inserted(
    insert: Mapping[str, Callable[[Array], Array]], name: str, x: Float[Array, "n h w c"]
) -> Float[Array, "n h2 w2 c"]:
    """The map x after the function inserted at its name, or x itself where there is none."""
    return insert[name](x) if name in insert else x
