"""One TFDS builder for each published data set: array_record files of its photos, from the unpacked archive.
Sources: tensorflow_datasets 4.9 (tfds.core.GeneratorBasedBuilder); the readers of data.archives."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from robust_iqa_jax.data.archives.table import ARCHIVES, read_archive
from robust_iqa_jax.data.photo_files import PhotoFiles
from robust_iqa_jax.data.photo_set import PhotoSet
from robust_iqa_jax.data.prepared import GROUP, LABELS


class _PublishedSet(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A set of data.archives.table.ARCHIVES that is called like the class.

    Examples are {"image": photo, "mos": float32, higher is better, "name": text}, in the order of the set's table. The
    splits are the set's groups: train, validation and test, or fold0 to fold4, which add up ("fold0+fold1"). Photos are
    kept as they are encoded. The metadata have all labels, exactly and without a pass over the photos.
    """

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = "manual_dir: the folder that the archive was unpacked to, with its own layout."

    def __init__(self, *, file_format: str | None = "array_record", **kwargs: Any):
        """As tfds.core.DatasetBuilder; another file format may need TensorFlow."""
        super().__init__(file_format=file_format, **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=f"{ARCHIVES[self.name].title}: photos with mean opinion scores.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3)),
                    "mos": tfds.features.Scalar(np.float32),
                    "name": tfds.features.Text(),
                }
            ),
            supervised_keys=("image", "mos"),
            disable_shuffling=True,
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator[Any]]:
        photos = read_archive(Path(dl_manager.manual_dir), self.name)
        splits = {GROUP.get(group, f"fold{group}"): group for group in sorted(set(photos.groups))}
        members = {split: [i for i, own in enumerate(photos.groups) if own == group] for split, group in splits.items()}
        metadata = self.info.metadata
        assert metadata is not None
        metadata[LABELS] = {
            split: {
                "group": splits[split],
                "names": [photos.names[i] for i in indices],
                "scores": photos.scores[indices].tolist(),
            }
            for split, indices in members.items()
        }
        return {split: self._generate_examples(photos, indices) for split, indices in members.items()}

    def _generate_examples(self, photos: PhotoSet, indices: list[int]) -> Iterator[tuple[int, dict[str, Any]]]:
        assert isinstance(photos.load, PhotoFiles)
        for key, i in enumerate(indices):
            yield key, {"image": photos.load.paths[i], "mos": photos.scores[i], "name": photos.names[i]}


class Koniq10k(_PublishedSet):
    """KonIQ-10k."""


class Clive(_PublishedSet):
    """LIVE In the Wild."""


class Tid2013(_PublishedSet):
    """TID2013."""


class Kadid10k(_PublishedSet):
    """KADID-10k."""


class Spaq(_PublishedSet):
    """SPAQ."""
