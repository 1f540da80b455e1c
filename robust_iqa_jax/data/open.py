"""Opens a photo set by what a user types: the embedded set's name, a label table, the folder of an unpacked archive.
The split between training and test photos is by the set's groups."""

import os
from pathlib import Path

import numpy as np

from robust_iqa_jax.data.archives.table import read_archive
from robust_iqa_jax.data.info_mat import read_info_mat
from robust_iqa_jax.data.label_table import read_label_table
from robust_iqa_jax.data.photo_set import PhotoSet
from robust_iqa_jax.data.prepared import MARK, read_prepared
from robust_iqa_jax.setting_error import SettingError, setting

EMBEDDED = "distorted-photos"
VALIDATION = ("val", "validation")
"""Groups that are neither trained nor tested on."""


def open_photos(
    data: str | os.PathLike[str],
    image_column: str | None = None,
    score_column: str | None = None,
    group_column: str | None = None,
    image_dir: str | os.PathLike[str] | None = None,
) -> PhotoSet:
    """The embedded set `distorted-photos`; or by path a label table (CSV, or LinearityIQA's .mat), the folder that a
    published archive was unpacked to, or one that the builders of robust_iqa_jax.datasets have prepared.

    A table without a column of groups gets the groups "train" and "test" (`PhotoSet.with_default_split`); `note` of
    what comes back says so, and is to be shown.

    Args:
      data: name or path.
      image_column, score_column, group_column: of a CSV, where its names are not recognised or several fit.
      image_dir: folder of a table's images, where they are not beside it or in images/.

    Raises:
      ValueError: none of them, files that are missing or damaged, columns of what has none.
    """
    columns = {"image_column": image_column, "score_column": score_column, "group_column": group_column}
    path = Path(data)
    is_embedded = str(data) == EMBEDDED
    if not is_embedded and not path.exists():
        raise ValueError(f"{data}: no such label table; give a CSV file, an archive's folder or {EMBEDDED!r}")
    is_table = path.is_file() and not is_embedded
    is_csv = is_table and path.suffix.lower() != ".mat"
    for argument, value in columns.items():
        if value is not None and not is_csv:
            raise SettingError(f"{setting(argument)} {value}: only a CSV has columns to name, {data} is none")
    if image_dir is not None and not is_table:
        raise SettingError(
            f"{setting('image_dir')} {image_dir}: {data} has its images with it; give it with a table only"
        )
    if is_embedded:
        from robust_iqa_jax.data.distorted_photos import distorted_photos  # imports scipy.signal, which takes seconds

        photos = distorted_photos()
    elif is_csv:
        photos = read_label_table(
            path,
            image_dir=image_dir,
            image_column=image_column,
            score_column=score_column,
            group_column=group_column,
        )
    elif is_table:
        photos = read_info_mat(path, image_dir=image_dir)
    elif not path.is_dir():
        raise ValueError(f"{data}: is no regular file; give a CSV file, an archive's folder or {EMBEDDED!r}")
    else:
        photos = read_prepared(path) if (path / MARK).is_file() else read_archive(path)
    return photos if any(photos.groups) else photos.with_default_split()


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
    for name, group in (("test_group", test_group), ("validation_group", validation_group)):
        if group is not None and group not in groups:
            there = ", ".join(groups) or "none"
            raise SettingError(f"{setting(name)} {group}: not in the data; its groups are {there}")
    if validation_group == test_group:
        raise SettingError(f"{setting('validation_group')} {validation_group}: is the test group; choose another one")
    rest = [g for g in groups if g not in (test_group, validation_group) and g.lower() not in VALIDATION]
    if not rest:
        raise SettingError(f"{setting('test_group')} {test_group}: leaves no photo to train on")
    return photos.select(rest), photos.select([test_group])


def check_test_photos(test: PhotoSet, who: str = "test photos") -> None:
    """Raise ValueError where no accuracy can be computed, whatever the model: to be called before a model is trained.

    Correlations need two photos or more whose scores are not all equal.

    Args:
      test: to be evaluated on.
      who: first words of a message; may have a `setting` in them.
    """
    if len(test) < 2:
        raise SettingError(
            f"{who}: {len(test)} photo there, and a correlation needs two or more; choose a larger group"
        )
    if np.ptp(test.scores) == 0:
        raise SettingError(
            f"{who}: the {len(test)} photos have equal scores, {test.scores[0]:g}, so there is no correlation; "
            "choose a group whose scores differ, or the right column of scores"
        )


def check_training_photos(training: PhotoSet) -> None:
    """Raise ValueError where nothing can be learnt: fewer than two photos, or all of one score."""
    check_test_photos(training, "training photos")
