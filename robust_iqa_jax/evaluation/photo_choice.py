"""Which photos trained models are evaluated on: the data and the group that they were not trained on, unless told."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from robust_iqa_jax.data.open import EMBEDDED, open_photos, split_photos
from robust_iqa_jax.data.photo_set import PhotoSet
from robust_iqa_jax.labels import COLUMNS
from robust_iqa_jax.setting_error import SettingError, marked


@dataclass(frozen=True)
class ChosenPhotos:
    """Photos to evaluate on.

    Attributes:
      photos: of the group.
      data: label table, folder or name of an embedded set.
      group: value of its split or fold column.
      reason: why these.
      notes: on models that were trained on other photos, or on these.
    """

    photos: PhotoSet
    data: str
    group: str
    reason: str
    notes: tuple[str, ...]


class NotReadable(SettingError):
    """The data that a model was trained on is not there any more."""


def choose_photos(
    configurations: Mapping[str, Mapping[str, Any]],
    data: str | None = None,
    group: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> ChosenPhotos:
    """The photos to evaluate models on.

    Args:
      configurations: model -> the configuration of its training, empty where its checkpoint has none.
      data: what was asked for; what the first model was trained on where None, or the embedded set.
      group: what was asked for; what the first model was tested on where None, or "test".
      columns: arguments of `open_photos` that were asked for.

    Raises:
      NotReadable: the data that the first model was trained on cannot be read, and none was asked for.
      ValueError: photos that cannot be read, no such group.
    """
    known = {name: config for name, config in configurations.items() if config.get("data")}
    first, config = next(iter(known.items()), ("", {}))
    chosen = data or config.get("data") or EMBEDDED
    same = config.get("data") == chosen
    of_training = {name: config[name] for name in COLUMNS if same and config.get(name)}
    try:
        photos = open_photos(chosen, **{**of_training, **(columns or {})})
    except (ValueError, OSError) as error:
        if data is None and known:
            raise NotReadable(f"{first} was trained on {chosen}, which cannot be read ({marked(error)})") from error
        raise
    chosen_group = group or (config.get("test_group") if same else None) or "test"
    reason = "as given"
    if data is None:
        reason = f"what {first} was trained on" if known else "the checkpoints do not say what they were trained on"
    if group is None and same:
        reason += f", the group that {first} was not trained on"
    notes = []
    for name, other in known.items():
        if other["data"] != chosen:
            notes.append(f"{name} was trained on {other['data']}")
        elif other.get("test_group") != chosen_group:
            notes.append(f"{name} was trained on these photos, all but group {other['test_group']}")
    return ChosenPhotos(split_photos(photos, chosen_group)[1], chosen, chosen_group, reason, tuple(notes))
