"""A data set that the builders of robust_iqa_jax.datasets have prepared, read by random access without TensorFlow.
Source: tensorflow_datasets 4.9, read_only_builder and as_data_source (array_record)."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from robust_iqa_jax.data.archives.table import ARCHIVES
from robust_iqa_jax.data.images import decode_image
from robust_iqa_jax.data.photo_files import LabelTableError
from robust_iqa_jax.data.photo_set import PhotoSet
from robust_iqa_jax.extras import MissingExtra, require

MARK = "dataset_info.json"
LABELS = "labels"
GROUP = {"training": "train", "validation": "validation", "test": "test"}
"""TFDS's names of official splits."""


def read_prepared(folder: Path) -> PhotoSet:
    """The photos of all splits with the groups of the archive; the labels come from the metadata.

    Args:
      folder: NAME/VERSION in TFDS's data_dir, with MARK.

    Raises:
      MissingExtra: tensorflow_datasets is not installed.
      LabelTableError: files of another builder or damaged ones.
    """
    try:
        builder = _builder(folder)
        labels: dict[str, dict[str, Any]] = dict(builder.info.metadata)[LABELS]
        counts = {split: builder.info.splits[split].num_examples for split in labels}
    except MissingExtra:
        raise
    except Exception as error:  # protobuf, JSON and file errors of many kinds
        raise LabelTableError(f"{folder}: not prepared by robust_iqa_jax.datasets, or damaged ({error})") from error
    for split, part in labels.items():
        if counts[split] != len(part["names"]):
            raise LabelTableError(f"{folder}: {counts[split]} photos and {len(part['names'])} labels in {split}")
    return PhotoSet(
        names=tuple(name for part in labels.values() for name in part["names"]),
        scores=np.concatenate([np.array(part["scores"], np.float64) for part in labels.values()]),
        label="mos",
        load=_Records(folder, tuple((split, i) for split, count in counts.items() for i in range(count))),
        groups=tuple(part["group"] for part in labels.values() for _ in part["names"]),
        subsets=tuple(subset for part in labels.values() for subset in part.get("subsets", ())),
        source=ARCHIVES[builder.name].title if builder.name in ARCHIVES else "",
    )


def _builder(folder: Path) -> Any:
    require(str(folder), "tensorflow_datasets")
    import tensorflow_datasets as tfds

    return tfds.builder_from_directory(folder)


@lru_cache(maxsize=16)
def _source(folder: Path, split: str) -> Any:
    """Opened once a process: worker processes of an input pipeline open their own."""
    import tensorflow_datasets as tfds

    return _builder(folder).as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})


@dataclass(frozen=True)
class _Records:
    folder: Path
    places: tuple[tuple[str, int], ...]

    def __call__(self, index: int) -> np.ndarray:
        split, i = self.places[index]
        # not TFDS's decoding, which knows no Exif orientation, 16 bits or transparency
        return decode_image(_source(self.folder, split)[i]["image"], f"{self.folder}, {split} {i}")
