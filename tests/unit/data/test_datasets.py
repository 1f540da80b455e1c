"""TFDS builders without TensorFlow: prepared once from an unpacked archive, read at random, fed to the pipeline."""

import dataclasses
import pickle
import sys

import archive_folders
import numpy as np
import photo_tables
import pytest
from PIL import Image
from skimage import data

from robust_iqa_jax.data.archives.table import ARCHIVES
from robust_iqa_jax.data.open import open_photos
from robust_iqa_jax.data.photo_files import LabelTableError
from robust_iqa_jax.data.pipeline import crop_and_flip, resized, training_batches
from robust_iqa_jax.extras import MissingExtra

tfds = pytest.importorskip("tensorflow_datasets", reason="tensorflow-datasets is not installed (extra 'tfds')")

NAMES = [f"{i}.jpg" for i in range(9)]
SETS = ["training"] * 4 + ["test"] * 3 + ["validation"] * 2


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A KonIQ-10k of nine photos: the unpacked archive, TFDS's data_dir, the data source of its training photos."""
    import robust_iqa_jax.datasets

    folder, data_dir = tmp_path_factory.mktemp("koniq"), tmp_path_factory.mktemp("tfds")
    archive_folders.koniq10k(folder, NAMES, SETS)
    for i, name in enumerate(NAMES):
        Image.fromarray(data.astronaut()[40 * i : 40 * i + 96, :128]).save(folder / "512x384" / name)
    small = dataclasses.replace(ARCHIVES["koniq10k"], count=9, splits={"training": 4, "validation": 2, "test": 3})
    config = tfds.download.DownloadConfig(manual_dir=folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ARCHIVES, "koniq10k", small)
        source = tfds.data_source(
            "koniq10k", split="train", data_dir=data_dir, download_and_prepare_kwargs={"download_config": config}
        )
        assert robust_iqa_jax.datasets.Koniq10k.name == "koniq10k"
        yield folder, data_dir, source, open_photos(folder)


def test_examples_are_read_at_random_and_without_tensorflow(prepared):
    _, _, source, photos = prepared
    assert len(source) == 4
    assert [example["name"].decode() for example in (source[2], source[0])] == ["2.jpg", "0.jpg"]
    np.testing.assert_array_equal(source[3]["image"], photos.load(3))
    np.testing.assert_allclose([source[i]["mos"] for i in range(4)], photos.scores[:4], rtol=1e-6)
    assert "tensorflow" not in sys.modules


def test_a_prepared_folder_is_the_photo_set_of_the_archive(prepared):
    _, data_dir, _, photos = prepared
    found = open_photos(data_dir / "koniq10k/1.0.0")
    order = [found.names.index(name) for name in photos.names]
    same = found.subset(order)
    assert (same.names, same.groups, same.label) == (photos.names, photos.groups, "mos")
    np.testing.assert_array_equal(same.scores, photos.scores)
    copy = pickle.loads(pickle.dumps(same))
    for i in range(9):
        np.testing.assert_array_equal(copy.load(i), photos.load(i))


def test_batches_are_those_of_the_archive(prepared):
    _, data_dir, _, photos = prepared
    batches = [
        next(training_batches(resized(some, (24, 32)), some.scores, 3, 0, crop_and_flip((24, 32), 16, True)))
        for some in (photos.select("training"), open_photos(data_dir / "koniq10k/1.0.0").select("training"))
    ]
    np.testing.assert_array_equal(batches[0]["inputs"], batches[1]["inputs"])
    np.testing.assert_array_equal(batches[0]["scores"], batches[1]["scores"])


def test_every_archive_but_another_layout_of_one_has_a_builder():
    import robust_iqa_jax.datasets as datasets

    names = {getattr(datasets, name).name for name in datasets.__all__}
    assert names == set(ARCHIVES) - {"koniq10k_folders"} | {"photo_table", "nips2017"}


def prepare(name, manual_dir, data_dir):
    import robust_iqa_jax.datasets  # noqa: F401

    builder = tfds.builder(name, data_dir=data_dir)
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=manual_dir))
    return builder


def test_any_label_table_becomes_a_prepared_set(tmp_path):
    table = photo_tables.write_photo_table(tmp_path / "photos", count=6, side=40)
    prepare("photo_table", tmp_path / "photos", tmp_path / "tfds")
    photos, found = open_photos(table), open_photos(tmp_path / "tfds/photo_table/1.0.0")
    same = found.subset([found.names.index(name) for name in photos.names])
    assert (same.names, same.groups) == (photos.names, photos.groups)
    np.testing.assert_array_equal(same.scores, photos.scores)
    for i in range(6):
        np.testing.assert_array_equal(same.load(i), photos.load(i))


def test_subsets_are_prepared_too(tmp_path, monkeypatch):
    train, test = archive_folders.BIQ["train"][:5], archive_folders.BIQ["test"][:3]
    archive_folders.biq2021(tmp_path / "biq", train, test)
    row = dataclasses.replace(ARCHIVES["biq2021"], count=8, splits={"train": 4, "validation": 1, "test": 3})
    monkeypatch.setitem(ARCHIVES, "biq2021", row)
    prepare("biq2021", tmp_path / "biq", tmp_path / "tfds")
    photos, prepared = open_photos(tmp_path / "biq"), open_photos(tmp_path / "tfds/biq2021/1.0.0")
    assert dict(zip(prepared.names, prepared.subsets, strict=True)) == dict(
        zip(photos.names, photos.subsets, strict=True)
    )


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (["a b", "c"], "group 'a b': a split of TFDS has letters, digits and _ only"),
        (["train", "training"], "groups 'train' and 'training' are one split, train; rename one"),
    ],
)
def test_groups_that_are_no_splits_are_named(groups, message, tmp_path):
    table = photo_tables.write_photo_table(tmp_path / "photos", count=4, side=40)
    text = table.read_text()
    for old, new in zip((",train", ",test"), groups, strict=True):
        text = text.replace(f"{old}\n", f",{new}\n").replace(f"{old}\r\n", f",{new}\r\n")
    table.write_text(text)
    with pytest.raises(ValueError, match=message):
        prepare("photo_table", tmp_path / "photos", tmp_path / "tfds")
    (tmp_path / "photos" / "more.csv").write_text("")
    with pytest.raises(ValueError, match="has 2 CSV files; leave the one with the scores"):
        prepare("photo_table", tmp_path / "photos", tmp_path / "tfds2")


def test_nips2017_has_images_and_names_only(shared_data, tmp_path, monkeypatch):
    import robust_iqa_jax.datasets

    with pytest.raises(ValueError, match=r"100 PNG files in .*, expected 1,000; unpack it again"):
        prepare("nips2017", shared_data / "nips2017", tmp_path / "refused")
    monkeypatch.setattr(robust_iqa_jax.datasets.Nips2017, "COUNT", 100)
    source = prepare("nips2017", shared_data / "nips2017", tmp_path / "tfds").as_data_source("dev")
    files = sorted((shared_data / "nips2017" / "images").glob("*.png"))
    assert len(source) == len(files) == 100
    assert source[7]["name"].decode() == files[7].name
    np.testing.assert_array_equal(source[7]["image"], np.asarray(Image.open(files[7]).convert("RGB")))


def test_folds_become_splits_that_add_up(tmp_path, monkeypatch):
    folder = tmp_path / "tid2013"
    archive_folders.tid2013(folder, references=6)
    monkeypatch.setitem(ARCHIVES, "tid2013", dataclasses.replace(ARCHIVES["tid2013"], count=720))
    import robust_iqa_jax.datasets  # noqa: F401

    builder = tfds.builder("tid2013", data_dir=tmp_path)
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=folder))
    assert {name: split.num_examples for name, split in builder.info.splits.items()} == {
        "fold0": 240, "fold1": 120, "fold2": 120, "fold3": 120, "fold4": 120
    }  # fmt: skip
    assert len(builder.as_data_source("fold0+fold1")) == 360


def test_a_folder_of_another_builder_is_named(tmp_path, prepared, monkeypatch):
    (tmp_path / "dataset_info.json").write_text("{}")
    with pytest.raises(LabelTableError, match=r"not prepared by robust_iqa_jax\.datasets, or damaged"):
        open_photos(tmp_path)
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(MissingExtra, match=r"pip install 'robust_iqa_jax\[tfds\]'"):
        open_photos(prepared[1] / "koniq10k/1.0.0")
