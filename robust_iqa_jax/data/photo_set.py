"""A set of labelled photos with random access: what every reader of labels returns and every pipeline takes.
Source: this project (the fields follow the tables of KonIQ-10k, LIVE In the Wild and KADID-10k)."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np
from jaxtyping import Float, Int, UInt8

Load = Callable[[int], UInt8[np.ndarray, "h w 3"]]


def evenly_spread(count: int, wanted: int | None) -> Int[np.ndarray, " wanted"]:
    """Indices of `wanted` of `count` things from the first to the last; of all where None or more than there are."""
    return np.linspace(0, count - 1, count if wanted is None else min(wanted, count)).astype(int)


FOLDS = 5


@dataclass(frozen=True)
class PhotoSet:
    """Labelled photos; pixels are read on demand, so that a set of any size costs only its table.

    Attributes:
      names: one unique name a photo, as its source spells it.
      scores: float64 (n,), higher is better, on the source's own scale.
      label: what the scores are: "mos" (people's mean opinion scores) or "pseudo_mos" (computed by a formula).
      load: index -> uint8 (h, w, 3) sRGB; raises `images.ImageError` on an unreadable file.
      groups: split, fold or source photo of each photo, "" where the source gives none.
      subsets: part of the source that each photo is of, where kinds of photos differ in their scores; () for a source
        of one kind.
      note: what a reader decided by itself and its user should be told, "" for nothing.
      times: how often an epoch of training takes each photo; () for once each.
      source: the published set that they are of, as its authors write it; "" for any other.

    Raises:
      ValueError: the fields' lengths differ.
    """

    names: tuple[str, ...]
    scores: Float[np.ndarray, " n"]
    label: str
    load: Load
    groups: tuple[str, ...]
    note: str = ""
    subsets: tuple[str, ...] = ()
    times: tuple[int, ...] = ()
    source: str = ""

    def __post_init__(self):
        if not len(self.names) == len(self.scores) == len(self.groups):
            raise ValueError(
                f"PhotoSet: {len(self.names)} names, {len(self.scores)} scores and {len(self.groups)} groups; "
                "give one of each a photo"
            )
        if self.subsets and len(self.subsets) != len(self.names):
            raise ValueError(
                f"PhotoSet: {len(self.subsets)} subsets of {len(self.names)} photos; give one a photo or ()"
            )

    def __len__(self) -> int:
        """The number of photos."""
        return len(self.names)

    def subset(self, indices: Iterable[int] | np.ndarray | slice) -> "PhotoSet":
        """The photos at these indices, in this order.

        Args:
          indices: integers (negative ones count from the end), a boolean mask of length n, or a slice.

        Raises:
          IndexError: an index out of range.
        """
        picked: np.ndarray = np.arange(len(self))
        if isinstance(indices, slice):
            picked = picked[indices]
        else:
            wanted = np.asarray(indices if isinstance(indices, np.ndarray) else list(indices))
            picked = picked[wanted if wanted.size else wanted.astype(np.intp)]
        chosen = tuple(picked.tolist())
        return PhotoSet(
            names=tuple(self.names[i] for i in chosen),
            scores=self.scores[picked],
            label=self.label,
            load=_Chosen(self.load, chosen),
            groups=tuple(self.groups[i] for i in chosen),
            note=self.note,
            subsets=tuple(self.subsets[i] for i in chosen) if self.subsets else (),
            times=tuple(self.times[i] for i in chosen) if self.times else (),
            source=self.source,
        )

    def select(self, groups: str | Iterable[str]) -> "PhotoSet":
        """The photos whose group is one of these, in the set's order.

        Args:
          groups: one group or several, for example "train" or {"0", "1", "2", "3"}.

        Raises:
          ValueError: no photo has such a group.
        """
        wanted = {groups} if isinstance(groups, str) else set(groups)
        known = set(self.groups)
        if unknown := sorted(wanted - known):
            shown = ", ".join(repr(group) for group in sorted(known)[:8]) or "none"
            raise ValueError(f"PhotoSet: no photo in group {unknown[0]!r}; the groups of this set are {shown}")
        return self.subset([i for i, group in enumerate(self.groups) if group in wanted])

    def in_folds(self) -> "PhotoSet":
        """The photos with a fold "0".."4" in place of each group, for sets without an official split: the groups, in
        alphabetical order, are dealt out in turn, so that no photo of a trained reference is tested on."""
        folds = {group: str(i % FOLDS) for i, group in enumerate(sorted(set(self.groups)))}
        return replace(self, groups=tuple(folds[group] for group in self.groups))

    def with_default_split(self) -> "PhotoSet":
        """The photos with groups "train" and "test" in place of none, for tables without a column of groups.

        A fifth of the photos is tested on, two at least where there are four: those whose names have the smallest
        SHA-256. So the split depends on the names alone, not on their order, and changes little with photos added.
        `note` says so. Photos of one scene may land on both sides; a table of such needs a column of groups.
        """
        ranked = sorted(range(len(self)), key=lambda i: sha256(self.names[i].encode()).digest())
        count = max(min(2, len(self) // 2), round(len(self) / FOLDS))
        test = set(ranked[:count])
        return replace(
            self,
            groups=tuple("test" if i in test else "train" for i in range(len(self))),
            note=f"the table has no column of groups: {count} of {len(self)} photos, chosen by their names, are the "
            "group 'test', the others 'train'; photos of one scene belong on one side, which a column 'split' can say",
        )


def joined(sets: Sequence[PhotoSet], lines: Sequence[tuple[float, float]], times: Sequence[int]) -> PhotoSet:
    """Photos of several sets as one, on one scale of scores.

    Args:
      sets: what they are; all have people's scores, or all a formula's.
      lines: one (slope, intercept) a set: slope * score + intercept is on the common scale.
      times: one a set: how often an epoch takes each of its photos.

    Returns:
      the photos in order; names and subsets begin with the number of the set, from 0.

    Raises:
      ValueError: lengths differ, scores of two kinds, a slope or a number of times that is not above 0.
    """
    if not len(sets) == len(lines) == len(times):
        raise ValueError(f"{len(sets)} data sets, {len(lines)} lines, {len(times)} times; give one of each a set")
    for slope, _ in lines:
        if not slope > 0:
            raise ValueError(f"line of a data set: its slope must be above 0, got {slope}")
    if min(times) < 1:
        raise ValueError(f"times of a data set: must be 1 or more, got {min(times)}")
    labels = sorted({photos.label for photos in sets})
    if len(labels) > 1:
        raise ValueError(f"data sets with labels of two kinds ({' and '.join(labels)}); train on one kind")
    return PhotoSet(
        names=tuple(f"{i} {name}" for i, photos in enumerate(sets) for name in photos.names),
        scores=np.concatenate([a * photos.scores + b for photos, (a, b) in zip(sets, lines, strict=True)]),
        label=labels[0],
        load=_InTurn(tuple(photos.load for photos in sets), tuple(map(len, sets))),
        groups=tuple(group for photos in sets for group in photos.groups),
        note="; ".join(filter(None, (photos.note for photos in sets))),
        subsets=tuple(
            f"{i} {name}".strip() for i, photos in enumerate(sets) for name in photos.subsets or ("",) * len(photos)
        ),
        times=tuple(n for photos, n in zip(sets, times, strict=True) for _ in range(len(photos))),
    )


@dataclass(frozen=True)
class _InTurn:
    """The photos of several sets by one index; a class for the reason that _Chosen is one."""

    loads: tuple[Load, ...]
    counts: tuple[int, ...]

    def __call__(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
        for load, count in zip(self.loads, self.counts, strict=True):
            if index < count:
                return load(index)
            index -= count
        raise IndexError(f"photo {index} behind the last")


@dataclass(frozen=True)
class _Chosen:
    """A class and not a closure: worker processes of an input pipeline must be able to pickle it."""

    load: Load
    indices: tuple[int, ...]

    def __call__(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
        return self.load(self.indices[index])
