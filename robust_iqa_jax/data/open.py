"""Opens a photo set by what a user types: the embedded set's name, a label table, the folder of an unpacked archive.
The split between training and test photos is by the set's groups."""

import os
from pathlib import Path

from robust_iqa_jax.data.archives.table import read_archive
from robust_iqa_jax.data.info_mat import read_info_mat
from robust_iqa_jax.data.label_table import read_label_table
from robust_iqa_jax.data.photo_set import PhotoSet
from robust_iqa_jax.data.prepared import MARK, read_prepared

EMBEDDED = "distorted-photos"
VALIDATION = ("val", "validation")
"""Groups that are neither trained nor tested on."""


def open_photos(data: str | os.PathLike[str]) -> PhotoSet:
    """The embedded set `distorted-photos`; or by path a label table (CSV, or LinearityIQA's .mat), the folder that a
    published archive was unpacked to, or one that the builders of robust_iqa_jax.datasets have prepared.

    Raises:
      ValueError: none of them, or files that are missing or damaged.
    """
    if str(data) == EMBEDDED:
        from robust_iqa_jax.data.distorted_photos import distorted_photos  # imports scipy.signal, which takes seconds

        return distorted_photos()
    path = Path(data)
    if path.is_dir():
        return read_prepared(path) if (path / MARK).is_file() else read_archive(path)
    if not path.is_file():
        raise ValueError(f"{data}: no such label table; give a CSV file, an archive's folder or {EMBEDDED!r}")
    return read_info_mat(path) if path.suffix.lower() == ".mat" else read_label_table(path)


def split_photos(photos: PhotoSet, test_group: str, validation_group: str | None = None) -> tuple[PhotoSet, PhotoSet]:
    """(training, test): the test group against every other group but the validation ones.

    Args:
      photos: all of them.
      test_group: held out.
      validation_group: held out too, as are groups that are named so.

    Raises:
      ValueError: no photo in a group, one group for both, or no photo outside of them.
    """
    groups = sorted(set(photos.groups))
    for option, group in (("--test-group", test_group), ("--validation-group", validation_group)):
        if group is not None and group not in groups:
            raise ValueError(f"{option} {group}: not in the data; its groups are {', '.join(groups) or 'none'}")
    if validation_group == test_group:
        raise ValueError(f"--validation-group {validation_group}: is the test group; choose another one")
    rest = [g for g in groups if g not in (test_group, validation_group) and g.lower() not in VALIDATION]
    if not rest:
        raise ValueError(f"--test-group {test_group}: leaves no photo to train on")
    return photos.select(rest), photos.select([test_group])
