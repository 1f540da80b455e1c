"""Published archives by the files that they unpack to: labels, splits, counts, and one line for what is missing."""

import dataclasses
import os
import pickle
import sys
from collections import Counter
from pathlib import Path

import archive_folders
import numpy as np
import pytest
import scipy.io
from places import SHARED

from robust_iqa_jax.data.archives.table import ARCHIVES, archives_in
from robust_iqa_jax.data.info_mat import ENDS, read_info_mat
from robust_iqa_jax.data.open import open_photos, split_photos
from robust_iqa_jax.data.photo_files import LabelTableError
from robust_iqa_jax.extras import MissingExtra

NEEDS = {"spaq": "openpyxl"}
FOLDS = [str(i) for i in range(5)]
KONIQ = {"training": 7_058, "validation": 1_000, "test": 2_015}
# docs/sources.md 7: photos and official split
PUBLISHED = {
    "koniq10k": (10_073, KONIQ),
    "koniq10k_folders": (10_073, KONIQ),
    "biq2021": (12_000, {"train": 9_000, "validation": 1_000, "test": 2_000}),
    "clive": (1_162, {}),
    "tid2013": (3_000, {}),
    "kadid10k": (10_125, {}),
    "spaq": (11_125, {}),
}
SPLIT = ["training"] * 7 + ["validation"] + ["test"] * 2
BIQ_TRAIN, BIQ_TEST = archive_folders.BIQ["train"][:5], archive_folders.BIQ["test"][:3]
FEW = {
    "koniq10k": {"names": archive_folders.KONIQ[:10], "sets": SPLIT},
    "koniq10k_folders": {"sizes": (7, 1, 2)},
    "biq2021": {"train": BIQ_TRAIN, "test": BIQ_TEST},
    "clive": {"names": ["246.bmp", "3.bmp", "333.bmp", "4.bmp", "1000.JPG", "5.bmp"]},
    "tid2013": {"references": 6},
    "kadid10k": {"references": 6},
    "spaq": {"count": 6},
}
# first name, first and last score, groups as these few photos have them
READ = {
    "koniq10k": ("0.jpg", 5, 5.045, ["test", "training", "validation"]),
    "koniq10k_folders": ("train/1024x768/0.jpg", 5, 5.045, ["test", "training", "validation"]),
    "biq2021": ("ss01 (0).jpg", 0, 99.98, ["test", "train", "validation"]),
    "clive": ("246.bmp", 0, 90, FOLDS),
    "tid2013": ("I01_01_1.bmp", 0, 719 / 400, FOLDS),
    "kadid10k": ("I01_01_01.png", 1, 1 + 749 / 4_000, FOLDS),
    "spaq": ("00001.jpg", 0, 5 / 200, FOLDS),
}


@pytest.fixture
def few_photos(monkeypatch):
    """The sets as if they had as many photos as FEW."""
    koniq = {group: SPLIT.count(group) for group in SPLIT}
    splits = {"koniq10k": koniq, "koniq10k_folders": koniq, "biq2021": {"train": 4, "validation": 1, "test": 3}}
    counts = {"koniq10k": 10, "koniq10k_folders": 10, "biq2021": 8, "tid2013": 720, "kadid10k": 750}
    for name, row in ARCHIVES.items():
        few = dataclasses.replace(row, count=counts.get(name, 6), splits=splits.get(name, {}))
        monkeypatch.setitem(ARCHIVES, name, few)
    monkeypatch.setitem(ENDS, 10, (7, 8))


@pytest.fixture
def unpacked(tmp_path):
    """name -> the folder of a whole archive."""

    def unpack(name, **options):
        if name in NEEDS:
            pytest.importorskip(NEEDS[name], reason=f"{NEEDS[name]} is not installed (extra 'archives')")
        getattr(archive_folders, name)(tmp_path, **(options or FEW[name]))
        return tmp_path

    return unpack


def test_a_whole_copy_has_the_published_counts():
    assert {name: (row.count, row.splits) for name, row in ARCHIVES.items()} == PUBLISHED


@pytest.mark.usefixtures("few_photos")
@pytest.mark.parametrize("name", ARCHIVES)
def test_a_folder_is_known_by_its_files_and_read_whole(name, unpacked):
    folder = unpacked(name)
    assert archives_in(folder) == [name]
    photos = open_photos(folder)
    first, low, high, groups = READ[name]
    assert len(photos) == ARCHIVES[name].count
    assert (photos.names[0], photos.label) == (first, "mos")
    np.testing.assert_allclose(photos.scores[[0, -1]], [low, high], atol=1e-9)
    assert sorted(set(photos.groups)) == groups
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(photos)).load(0), np.full((6, 8, 3), archive_folders.GREY))


@pytest.mark.usefixtures("few_photos")
def test_the_official_split_of_koniq_keeps_validation_apart(unpacked):
    photos = open_photos(unpacked("koniq10k"))
    training, test = split_photos(photos, "test")
    assert (training.names, test.names) == (photos.names[:7], photos.names[8:])


@pytest.mark.usefixtures("few_photos")
@pytest.mark.parametrize(("name", "letters"), [("tid2013", 3), ("kadid10k", 3)])
def test_no_reference_is_in_two_folds(name, letters, unpacked):
    photos = open_photos(unpacked(name))
    folds: dict[str, set[str]] = {}
    for photo, group in zip(photos.names, photos.groups, strict=True):
        folds.setdefault(photo[:letters], set()).add(group)
    assert {len(groups) for groups in folds.values()} == {1}
    sizes = np.bincount([int(group) for group in photos.groups])
    assert sizes.max() - sizes.min() <= len(photos) // len(folds)


@pytest.mark.usefixtures("few_photos")
def test_the_two_identical_photos_of_clive_share_a_fold(unpacked):
    photos = open_photos(unpacked("clive"))
    fold = dict(zip(photos.names, photos.groups, strict=True))
    assert fold["246.bmp"] == fold["333.bmp"]
    assert "t1.bmp" not in fold


@pytest.mark.usefixtures("few_photos")
def test_biq2021_is_read_in_spite_of_its_names_and_columns(unpacked):
    folder = unpacked("biq2021")
    assert not (folder / "Images" / BIQ_TRAIN[3]).exists(), "one suffix is written in capitals"
    photos = open_photos(folder)
    assert photos.names == (*BIQ_TRAIN, *BIQ_TEST)
    assert photos.groups == ("validation",) + ("train",) * 4 + ("test",) * 3
    assert photos.load.paths[3].name == BIQ_TRAIN[3].replace(".jpg", ".JPG")
    np.testing.assert_allclose(photos.scores, [0, 0.01, 0.02, 0.03, 0.04, 100, 99.99, 99.98], atol=1e-12)
    test = photos.select("test").subset([2, 0])
    assert test.names == (BIQ_TEST[2], BIQ_TEST[0])
    assert test.subsets == tuple(name[:4] for name in test.names)


def test_the_real_biq2021_is_read_whole():
    folder = Path(os.environ.get("RIQA_BIQ2021", SHARED / "biq2021"))
    if not folder.is_dir():
        pytest.skip(f"no BIQ2021 at {folder}; set RIQA_BIQ2021")
    photos = open_photos(folder)
    counts = Counter(zip(photos.groups, photos.subsets, strict=True))
    assert counts == {
        ("train", "ss01"): 1_507,
        ("train", "ss02"): 1_470,
        ("train", "ss03"): 6_023,
        ("validation", "ss01"): 158,
        ("validation", "ss02"): 186,
        ("validation", "ss03"): 656,
        ("test", "ss01"): 335,
        ("test", "ss02"): 344,
        ("test", "ss03"): 1_321,
    }
    # the means that its tables have, by a spreadsheet's AVERAGE
    train, test = photos.select(["train", "validation"]), photos.select("test")
    np.testing.assert_allclose([train.scores.mean(), test.scores.mean()], [64.180883, 65.17053], atol=1e-6)
    capitals = photos.names.index("ss02 (1014).jpg")
    assert {photos.load(i).shape for i in (0, capitals, 11_999)} == {(512, 512, 3)}


MISTAKES = {
    "empty": ("", lambda folder: None, "no data set is known by its files; it should hold one of koniq10k_dist"),
    "two sets": ("tid2013", lambda folder: (folder / "dmos.csv").touch(), "holds tid2013 and kadid10k; give each"),
    "a photo": ("tid2013", lambda f: (f / "distorted_images/i02_01_1.bmp").unlink(), "1 of 240 images are not in"),
    "photos": ("tid2013", lambda f: (f / "distorted_images").rename(f / "d"), "distorted_images: no such folder"),
    "references": ("tid2013", lambda folder: None, "240 photos are listed, TID2013 has 3000; download it again"),
    "a name": (
        "tid2013",
        lambda folder: (folder / "mos_with_names.txt").write_text("5.5\n"),
        "mos_with_names.txt, line 1: '5.5' is not a score and a name",
    ),
    "text": ("tid2013", lambda f: (f / "mos_with_names.txt").write_bytes(b"\xff\xfe\x00"), "cannot be read as text"),
    "a score": (
        "tid2013",
        lambda folder: (folder / "mos_with_names.txt").write_text("good I01_01_1.bmp\n"),
        "line 1: 'MOS' is 'good', not a finite number",
    ),
    "a score out of range": (
        "biq2021",
        lambda folder: (folder / "Test (Images and MOS).csv").write_text("Image Name,MOS\nss02 (10000).jpg,52\n"),
        r"Test \(Images and MOS\)\.csv, line 2: 'MOS' is 52, not in 0\.\.1",
    ),
    "another name": (
        "biq2021",
        lambda folder: (
            (folder / "Images/ss02 (1).jpg").rename(folder / "Images/other.jpg")
            and (
                (folder / "Test (Images and MOS).csv").write_text("Image Name,MOS\nother.jpg,0.5\n")
                and (folder / "Train (Images and MOS).csv").write_text("Image Name,MOS,,\nss01 (0).jpg,0.5,,\n")
            )
        ),
        "'other.jpg' starts with none of ss01, ss02, ss03",
    ),
    "one table of two": (
        "biq2021",
        lambda folder: (folder / "Train (Images and MOS).csv").unlink(),
        r"Train \(Images and MOS\)\.csv: no such file",
    ),
    "koniq's photos": ("koniq10k", lambda f: (f / "512x384").rename(f / "p"), "no photos of KonIQ-10k; unpack 1024x"),
    "two sizes": ("koniq10k", lambda f: (f / "1024x768").mkdir(), "both 1024x768/ and 512x384/ are there"),
    "koniq's split": (
        "koniq10k",
        lambda f: (f / "koniq10k_distributions_sets.csv").rename(f / "koniq10k_scores_and_distributions.csv"),
        r"has no official split; put koniq10k_distributions_sets\.csv",
    ),
    "clive's scores": (
        "clive",
        lambda folder: (folder / "Data/AllMOS_release.mat").write_bytes(b"MATLAB 5.0 MAT-file"),
        r"AllMOS_release\.mat: not a readable MATLAB file",
    ),
    "clive's names": (
        "clive",
        lambda folder: scipy.io.savemat(folder / "Data/AllImages_release.mat", {"other": 1}),
        "has no variable AllImages_release",
    ),
    "a workbook": (
        "spaq",
        lambda f: (f / "Annotations/MOS and Image attribute scores.xlsx").write_bytes(b"PK"),
        "not a readable workbook",
    ),
}
SMALL = {
    "tid2013": {"references": 2},
    "koniq10k": {"names": archive_folders.KONIQ[:3]},
    "biq2021": {"train": BIQ_TRAIN, "test": BIQ_TEST},
    "clive": {"names": archive_folders.CLIVE[:3]},
    "spaq": {"count": 3},
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_is_missing_is_named_in_one_line(mistake, unpacked, tmp_path):
    name, spoil, message = MISTAKES[mistake]
    spoil(unpacked(name, **SMALL.get(name, {})) if name else tmp_path)
    with pytest.raises(LabelTableError, match=message) as caught:
        open_photos(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("few_photos")
def test_another_split_than_the_official_one_is_refused(unpacked):
    folder = unpacked("koniq10k", names=archive_folders.KONIQ[:10], sets=["training"] * 9 + ["test"])
    with pytest.raises(LabelTableError, match=r"the split is .*'training': 9.*, that of KonIQ-10k .*'training': 7"):
        open_photos(folder)


@pytest.fixture
def info(tmp_path):
    """A file like CLIVEinfo.mat of ten photos, and the photos; experiment 1 lists them backwards."""
    pytest.importorskip("h5py", reason="h5py is not installed (extra 'archives')")
    names = [f"{i}.bmp" for i in range(10)]
    archive_folders.photos(tmp_path / "Images", names)
    order = np.arange(1, 11)
    archive_folders.info_mat(tmp_path / "info.mat", names, list(range(10)), np.stack([order, order[::-1]], 1))
    return tmp_path / "info.mat"


def test_an_info_file_has_names_scores_and_the_split_of_each_experiment(info):
    photos = open_photos(info)
    assert (photos.names[-1], photos.scores.tolist()) == ("9.bmp", list(range(10)))
    assert photos.groups == ("train",) * 6 + ("val",) * 2 + ("test",) * 2
    assert read_info_mat(info, experiment=1).groups == photos.groups[::-1]
    assert photos.load(0).shape == (6, 8, 3)


@pytest.mark.usefixtures("few_photos")
def test_koniqs_info_file_stands_in_for_its_table(tmp_path):
    pytest.importorskip("h5py", reason="h5py is not installed (extra 'archives')")
    shuffled, names = np.random.default_rng(0).permutation(10) + 1, archive_folders.KONIQ[:10]
    archive_folders.photos(tmp_path / "1024x768", names)
    archive_folders.info_mat(tmp_path / "KonIQ-10kinfo.mat", names, list(range(10)), shuffled[:, None])
    photos = open_photos(tmp_path)
    assert [photos.groups[i - 1] for i in shuffled] == SPLIT


def test_koniqs_owners_split_is_where_its_info_file_is_cut():
    sizes = ARCHIVES["koniq10k"].splits
    assert {10_073: (sizes["training"], sizes["training"] + sizes["validation"])} == ENDS


def test_an_info_file_that_cannot_be_used_is_named(info, tmp_path, monkeypatch):
    with pytest.raises(LabelTableError, match="no experiment 2; it has 2, counted from 0"):
        read_info_mat(info, experiment=2)
    scipy.io.savemat(tmp_path / "old.mat", {"index": 1})
    with pytest.raises(LabelTableError, match=r"old\.mat: not an info file in MATLAB's format v7\.3"):
        open_photos(tmp_path / "old.mat")
    archive_folders.info_mat(tmp_path / "few.mat", ["0.bmp", "1.bmp"], [1, 2], np.array([[1], [3]]))
    with pytest.raises(LabelTableError, match=r"few\.mat, photo 2: its reference 2 is not in index"):
        open_photos(tmp_path / "few.mat")
    archive_folders.info_mat(tmp_path / "short.mat", ["0.bmp", "1.bmp"], [1], np.array([[1], [2]]))
    with pytest.raises(LabelTableError, match="2 names, 1 scores and 2 references"):
        open_photos(tmp_path / "short.mat")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(
        MissingExtra, match=r": the package h5py is not installed; pip install 'robust_iqa_jax\[archives\]'"
    ):
        open_photos(info)
