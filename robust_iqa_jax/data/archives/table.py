"""The published data sets by name, which of them a folder holds, and the counts that a whole copy has.
Sources: the sets' papers, in their own files; KonIQ-10k's split is 7,058 / 1,000 / 2,015 (subpic/koniq)."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from robust_iqa_jax.data.archives import biq2021, clive, kadid10k, koniq10k, spaq, tid2013
from robust_iqa_jax.data.photo_files import LabelTableError
from robust_iqa_jax.data.photo_set import PhotoSet


@dataclass(frozen=True)
class Archive:
    """One published set.

    Attributes:
      title: as its authors write it.
      marks: files of which a folder with this set has one.
      read: folder -> photos.
      count: photos of a whole copy.
      splits: photos of each group of an official split.
    """

    title: str
    marks: tuple[str, ...]
    read: Callable[[Path], PhotoSet]
    count: int
    splits: dict[str, int] = field(default_factory=dict)


ARCHIVES: dict[str, Archive] = {
    "koniq10k": Archive(
        "KonIQ-10k", (koniq10k.SETS, koniq10k.SCORES, koniq10k.INFO), koniq10k.read_koniq10k, 10_073, koniq10k.SPLITS
    ),
    "koniq10k_folders": Archive(
        "KonIQ-10k in folders by split",
        (f"train/{koniq10k.METADATA}",),
        koniq10k.read_split_folders,
        10_073,
        koniq10k.SPLITS,
    ),
    "biq2021": Archive("BIQ2021", tuple(biq2021.TABLES.values()), biq2021.read_biq2021, 12_000, biq2021.SPLITS),
    "clive": Archive("LIVE In the Wild", (clive.SCORES,), clive.read_clive, 1_162),
    "tid2013": Archive("TID2013", (tid2013.SCORES,), tid2013.read_tid2013, 3_000),
    "kadid10k": Archive("KADID-10k", (kadid10k.SCORES,), kadid10k.read_kadid10k, 10_125),
    "spaq": Archive("SPAQ", (spaq.SCORES,), spaq.read_spaq, 11_125),
}


def archives_in(folder: Path) -> list[str]:
    """Names of the sets of which this folder has a mark; [] for any other folder."""
    return [name for name, row in ARCHIVES.items() if any((folder / mark).is_file() for mark in row.marks)]


def read_archive(folder: Path, name: str | None = None) -> PhotoSet:
    """The set that an unpacked archive holds, verified to be whole.

    Args:
      folder: that the archive was unpacked to, with the layout of its own.
      name: of ARCHIVES; found out by the files where not given.

    Raises:
      LabelTableError: not a set that is known, or more than one; files or photos that are missing or damaged; not the
        published number of photos.
    """
    if name is None:
        found = archives_in(folder)
        if not found:
            marks = ", ".join(row.marks[0] for row in ARCHIVES.values())
            raise LabelTableError(f"{folder}: no data set is known by its files; it should hold one of {marks}")
        if len(found) > 1:
            raise LabelTableError(f"{folder}: holds {' and '.join(found)}; give each a folder of its own")
        name = found[0]
    row = ARCHIVES[name]
    photos = row.read(folder)
    if len(photos) != row.count:
        raise LabelTableError(
            f"{folder}: {len(photos)} photos are listed, {row.title} has {row.count}; download it again"
        )
    counts = Counter(photos.groups)
    if row.splits and counts != row.splits:
        raise LabelTableError(f"{folder}: the split is {dict(counts)}, that of {row.title} {row.splits}")
    return replace(photos, source=row.title)
