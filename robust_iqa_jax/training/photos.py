"""The photos of a run: what it is trained on, from one data set or several, and what each of them holds out.
Source: this project."""

from dataclasses import dataclass
from typing import Any

from robust_iqa_jax.data.open import check_test_photos, open_photos, split_photos
from robust_iqa_jax.data.photo_set import PhotoSet, joined
from robust_iqa_jax.setting_error import SettingError, setting
from robust_iqa_jax.training.config import TrainConfig

NOTHING = "none"
"""Test group of a data set that is trained on as a whole."""


@dataclass(frozen=True)
class RunPhotos:
    """Photos of a run.

    Attributes:
      training: of all data sets together, on the scale of the first.
      tests: name of a data set -> its photos that are held out, on its own scale; the first set's comes first.
      validation: photos of the first data set that are looked at during training, or None.
    """

    training: PhotoSet
    tests: dict[str, PhotoSet]
    validation: PhotoSet | None

    @property
    def test(self) -> PhotoSet:
        """Of the first data set."""
        return next(iter(self.tests.values()))


def run_photos(config: TrainConfig) -> RunPhotos:
    """The photos that a configuration names.

    Raises:
      ValueError: a data set, a group or a column that is not there, test photos without a correlation, numbers of
        `also_...` that are not one for each set of `also`.
    """
    photos = open_photos(
        config.data,
        image_column=config.image_column,
        score_column=config.score_column,
        group_column=config.group_column,
        image_dir=config.image_dir,
    )
    group = config.validation_group
    training, test = split_photos(photos, config.test_group, group)
    check_test_photos(test, f"{setting('test_group')} {config.test_group}")
    validation = None if group is None else photos.select([group])
    if validation is not None:
        check_test_photos(validation, f"{setting('validation_group')} {group}")
    sets, tests = [training], {config.data: test}
    for data, held_out in zip(config.also, one_each(config, "also_test_groups", config.also_test_groups), strict=True):
        if data in tests:
            raise SettingError(f"{setting('also')} {data}: is named twice")
        more = open_photos(data)
        if held_out == NOTHING:
            sets.append(more)
            continue
        rest, tests[data] = split_photos(more, held_out)
        check_test_photos(tests[data], f"{setting('also_test_groups')} {held_out}")
        sets.append(rest)
    if len(sets) == 1:
        return RunPhotos(training, tests, validation)
    lines = [(1.0, 0.0), *one_each(config, "also_lines", config.also_lines or ((1.0, 0.0),) * len(config.also))]
    times = [1, *one_each(config, "also_times", config.also_times or (1,) * len(config.also))]
    return RunPhotos(joined(sets, lines, times), tests, validation)


def one_each(config: TrainConfig, name: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values of a setting, where there is one for each set of `also`; else SettingError."""
    if len(values) != len(config.also):
        given = f"{len(values)} given for {len(config.also)} data sets of {setting('also')}"
        raise SettingError(f"{setting(name)}: {given}; give one for each")
    return values
