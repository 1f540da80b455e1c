"""One TFDS builder for each published data set, and one for any label table: array_record files of the photos.
Sources: tensorflow_datasets 4.9 (GeneratorBasedBuilder); the readers of data.archives and data.label_table."""

import re
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from robust_iqa_jax.data.archives.table import ARCHIVES, read_archive
from robust_iqa_jax.data.label_table import read_label_table
from robust_iqa_jax.data.photo_files import PhotoFiles
from robust_iqa_jax.data.photo_set import PhotoSet
from robust_iqa_jax.data.prepared import GROUP, LABELS


class _Photos(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Photos that are kept as they are encoded, in the order of their source."""

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, *, file_format: str | None = "array_record", **kwargs: Any):
        """As tfds.core.DatasetBuilder; another file format may need TensorFlow."""
        super().__init__(file_format=file_format, **kwargs)

    def _described(self, description: str, features: dict[str, Any], supervised: tuple[str, str] | None) -> Any:
        photos = {"image": tfds.features.Image(shape=(None, None, 3)), "name": tfds.features.Text()}
        return tfds.core.DatasetInfo(
            builder=self,
            description=description,
            features=tfds.features.FeaturesDict({**photos, **features}),
            supervised_keys=supervised,
            disable_shuffling=True,
            metadata=tfds.core.MetadataDict(),
        )


class _LabelledPhotos(_Photos, skip_registration=True):
    """Examples are {"image": photo, "mos": float32, higher is better, "name": text}.

    The splits are the source's groups: train, validation and test, or fold0 to fold4, which add up ("fold0+fold1"). The
    metadata have all labels, exactly and without a pass over the photos.
    """

    @property
    @abstractmethod
    def title(self) -> str:
        """What the photos are."""

    @abstractmethod
    def read(self, folder: Path) -> PhotoSet:
        """The source in manual_dir."""

    def _info(self) -> tfds.core.DatasetInfo:
        description = f"{self.title}: photos with mean opinion scores."
        return self._described(description, {"mos": tfds.features.Scalar(np.float32)}, ("image", "mos"))

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator[Any]]:
        photos = self.read(Path(dl_manager.manual_dir))
        splits: dict[str, str] = {}
        for group in sorted(set(photos.groups)):
            split = _split(group)
            if split in splits:
                raise ValueError(
                    f"{self.name}: groups {splits[split]!r} and {group!r} are one split, {split}; rename one"
                )
            splits[split] = group
        members = {split: [i for i, own in enumerate(photos.groups) if own == group] for split, group in splits.items()}
        metadata = self.info.metadata
        assert metadata is not None
        metadata[LABELS] = {
            split: {
                "group": splits[split],
                "names": [photos.names[i] for i in indices],
                "scores": photos.scores[indices].tolist(),
                "subsets": [photos.subsets[i] for i in indices] if photos.subsets else [],
            }
            for split, indices in members.items()
        }
        return {split: self._generate_examples(photos, indices) for split, indices in members.items()}

    def _generate_examples(self, photos: PhotoSet, indices: list[int]) -> Iterator[tuple[int, dict[str, Any]]]:
        assert isinstance(photos.load, PhotoFiles)
        for key, i in enumerate(indices):
            yield key, {"image": photos.load.paths[i], "mos": photos.scores[i], "name": photos.names[i]}


def _split(group: str) -> str:
    """TFDS's name for a group; ValueError for one that cannot be one."""
    name = GROUP.get(group) or (f"fold{group}" if group.isdigit() else group or "all")
    if re.fullmatch(r"\w+", name) is None:
        raise ValueError(f"group {group!r}: a split of TFDS has letters, digits and _ only; rename it in the table")
    return name


class _PublishedSet(_LabelledPhotos, skip_registration=True):
    """A set of data.archives.table.ARCHIVES that is called like the class."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = "manual_dir: the folder that the archive was unpacked to, with its own layout."

    @property
    def title(self) -> str:
        """Of the set."""
        return ARCHIVES[self.name].title

    def read(self, folder: Path) -> PhotoSet:
        """The unpacked archive."""
        return read_archive(folder, self.name)


class Koniq10k(_PublishedSet):
    """KonIQ-10k."""


class Biq2021(_PublishedSet):
    """BIQ2021."""


class Clive(_PublishedSet):
    """LIVE In the Wild."""


class Tid2013(_PublishedSet):
    """TID2013."""


class Kadid10k(_PublishedSet):
    """KADID-10k."""


class Spaq(_PublishedSet):
    """SPAQ."""


class PhotoTable(_LabelledPhotos):
    """Any label table (data.label_table) with its photos; give each one a data_dir of its own."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = "manual_dir: a folder with one CSV of image names and scores, and the images."

    @property
    def title(self) -> str:
        """The same for every table."""
        return "Photos of a label table"

    def read(self, folder: Path) -> PhotoSet:
        """The only CSV of the folder."""
        tables = sorted(folder.glob("*.csv"))
        if len(tables) != 1:
            raise ValueError(f"photo_table: {folder} has {len(tables)} CSV files; leave the one with the scores")
        return read_label_table(tables[0])


class Nips2017(_Photos):
    """Development images of the NIPS 2017 adversarial-attack competition, which the paper attacks; no scores.

    Examples are {"image": photo, "name": text}, the split is "dev".
    """

    MANUAL_DOWNLOAD_INSTRUCTIONS = "manual_dir: the folder with the 1,000 PNG files, or with images/ that holds them."
    COUNT = 1000

    def _info(self) -> tfds.core.DatasetInfo:
        return self._described("NIPS 2017 adversarial-attack competition: development images.", {}, None)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator[Any]]:
        folder = Path(dl_manager.manual_dir)
        files = sorted((folder / "images" if (folder / "images").is_dir() else folder).glob("*.png"))
        if len(files) != self.COUNT:
            raise ValueError(f"nips2017: {len(files)} PNG files in {folder}, expected {self.COUNT:,}; unpack it again")
        return {"dev": self._generate_examples(files)}

    def _generate_examples(self, files: list[Path]) -> Iterator[tuple[int, dict[str, Any]]]:
        for key, path in enumerate(files):
            yield key, {"image": path, "name": path.name}
