"""Label tables and photo sets: recognised columns, images found, and every mistake named with its line."""

import pickle

import numpy as np
import pytest
from PIL import Image
from places import SHARED

from robust_iqa_jax.data.label_table import read_label_table
from robust_iqa_jax.data.photo_files import LabelTableError
from robust_iqa_jax.data.photo_set import PhotoSet


def table(folder, text, images=("a.png", "b.png"), place="images", encoding="utf-8"):
    """A table and small pictures, the i-th of which is of the uniform grey i."""
    (folder / place).mkdir(exist_ok=True)
    for i, name in enumerate(images):
        Image.new("RGB", (4, 3), (i, i, i)).save(folder / place / name)
    (folder / "labels.csv").write_bytes(text.encode(encoding))
    return folder / "labels.csv"


@pytest.mark.parametrize("place", [".", "images", "Images"])
@pytest.mark.parametrize(
    "text",
    [
        "image_name,mos\na.png,1\nb.png,2.5\n",
        "Filename;Score\r\na.png;1\r\nb.png;2,5\r\n",
        "std\tMOS\tfile_name\n9\t1\ta.png\n9\t2.5\tb.png",
        'dist_img , quality\n"a.png", 1\n\nb.png, 2.5\n\n',
        "\ufeffname,MOS_zscore\na.png,1\nb.png,25e-1\n",
    ],
    ids=["comma", "semicolon and decimal comma", "tab", "quotes, spaces, blank lines", "byte-order mark"],
)
def test_common_tables_are_read_without_options(tmp_path, text, place):
    photos = read_label_table(table(tmp_path, text, place=place))
    assert photos.names == ("a.png", "b.png")
    assert photos.scores.dtype == np.float64
    assert photos.scores.tolist() == [1, 2.5]
    assert photos.label == "mos"
    assert photos.groups == ("", "")
    assert [int(photos.load(i)[0, 0, 0]) for i in range(2)] == [0, 1]


def test_a_split_column_becomes_groups(tmp_path):
    photos = read_label_table(table(tmp_path, "image,mos,Split\na.png,1,train\nb.png,2,test\n"))
    assert photos.groups == ("train", "test")
    assert photos.select("test").names == ("b.png",)


def test_columns_and_the_folder_can_be_named(tmp_path):
    path = table(tmp_path, "id,z,mos,g\na.png,7,1,x\nb.png,8,2,y\n", place="elsewhere")
    photos = read_label_table(
        path,
        image_dir=tmp_path / "elsewhere",
        image_column="ID",
        score_column="z",
        group_column="g",
        label="pseudo_mos",
    )
    assert (photos.scores.tolist(), photos.groups, photos.label) == ([7, 8], ("x", "y"), "pseudo_mos")


@pytest.mark.parametrize("names", [("a.bmp", "b.JPG"), ("a", "b"), ("images/a.bmp", "images\\b.bmp")])
def test_images_stored_with_another_extension_are_found_by_their_stem(tmp_path, names):
    photos = read_label_table(table(tmp_path, f"name,mos\n{names[0]},1\n{names[1]},2\n"))
    assert photos.names == names
    assert [int(photos.load(i)[0, 0, 0]) for i in range(2)] == [0, 1]


def test_the_name_as_written_wins_over_the_stem(tmp_path):
    photos = read_label_table(table(tmp_path, "name,mos\na.png,1\na.bmp,2\n", images=("a.bmp", "a.png")))
    assert [int(photos.load(i)[0, 0, 0]) for i in range(2)] == [1, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "labels.csv: the table is empty"),
        ("name,mos\n", "a header but no rows"),
        (
            "picture_nr,mos\n1,2\n",
            "no image name column .* the table has picture_nr, mos; choose with image_column 'NAME'",
        ),
        ("name,sd\na.png,2\n", "no score column .* the table has name, sd; choose with score_column 'NAME'"),
        ("name,DMOS\na.png,2\n", "lower is better, so it is used only when it is named"),
        ("name,mos\na.png,1\nb.png,good\n", "line 3: 'mos' is 'good', not a finite number"),
        ("name,mos\na.png,nan\n", "line 2: 'mos' is 'nan'"),
        ("name,mos\na.png,inf\n", "line 2: 'mos' is 'inf'"),
        ("name,mos\na.png,\n", "line 2: 'mos' is ''"),
        ("name,mos\n,1\n", "line 2: no image name"),
        ("name,mos\na.png,1\n\na.png,2\n", "line 4: 'a.png' was already given in line 2"),
        ("name,mos\na.png,1\na.bmp,2\n", "line 3: 'a.bmp' is .*a.png, as is line 2's 'a.png'"),
        ("name,mos\na.png,1,2\n", "line 2: 3 fields where the header has 2"),
        (
            "name,mos\nx,1\na.png,2\ny,3\nz,4\nw,5\n",
            r"4 of 5 images are not in .*: x, y, z, \.\.\.; put them there, or name their folder with image_dir$",
        ),
    ],
)
def test_every_mistake_is_one_line_that_names_the_culprit(tmp_path, text, message):
    with pytest.raises(LabelTableError, match=message) as caught:
        read_label_table(table(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_dmos_is_used_when_asked_for(tmp_path):
    path = table(tmp_path, "name,DMOS\na.png,2\nb.png,3\n")
    assert read_label_table(path, score_column="dmos").scores.tolist() == [2, 3]


def test_a_stem_that_fits_several_images_is_ambiguous(tmp_path):
    path = table(tmp_path, "name,mos\na.bmp,1\n", images=("a.png", "a.webp"))
    with pytest.raises(LabelTableError, match=r"line 2: 'a\.bmp' .* any of a\.png, a\.webp"):
        read_label_table(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"score_column": "zz"}, "no column 'zz' .score_column.; the table has name, mos"),
        ({"image_dir": "nowhere"}, "nowhere: no such folder"),
    ],
)
def test_a_wrong_option_is_named(tmp_path, options, message):
    with pytest.raises(LabelTableError, match=message):
        read_label_table(table(tmp_path, "name,mos\na.png,1\n"), **options)


def test_a_table_that_is_missing_or_not_utf_8_is_named(tmp_path):
    with pytest.raises(LabelTableError, match=r"none\.csv: no such file"):
        read_label_table(tmp_path / "none.csv")
    with pytest.raises(LabelTableError, match=r"labels\.csv: not a text file in UTF-8"):
        read_label_table(table(tmp_path, "name,mos\né.png,1\n", encoding="latin-1"))
    with pytest.raises(LabelTableError, match="cannot be read"):
        read_label_table(tmp_path)


def test_live_in_the_wild_is_read_without_options():
    path = SHARED / "clive/scores.csv"
    if not path.is_file():
        pytest.skip(f"no shared data at {path}")
    photos = read_label_table(path)
    assert len(photos) == 872
    assert set(photos.groups) == {"0", "1", "2", "3", "4"}
    assert 0 <= photos.scores.min() < photos.scores.max() <= 100
    assert photos.load(0).shape == (500, 500, 3)


def numbered(n=5):
    return PhotoSet(
        names=tuple("abcde"[:n]),
        scores=np.arange(n, dtype=np.float64),
        label="mos",
        load=lambda i: np.full((2, 2, 3), i, np.uint8),
        groups=("x", "y", "x", "z", "y")[:n],
    )


@pytest.mark.parametrize(
    "indices",
    [[3, 0], np.array([3, 0]), slice(3, None, -3), [-2, 0], (i for i in (3, 0))],
    ids=["list", "array", "slice", "negative", "generator"],
)
def test_a_subset_keeps_names_scores_groups_and_pixels_together(indices):
    part = numbered().subset(indices)
    assert (part.names, part.scores.tolist(), part.groups) == (("d", "a"), [3, 0], ("z", "x"))
    assert [int(part.load(i)[0, 0, 0]) for i in range(len(part))] == [3, 0]


def test_subsets_of_subsets_masks_and_empty_subsets_work():
    photos = numbered()
    assert photos.subset(photos.scores > 1).subset([1]).load(0)[0, 0, 0] == 3
    assert len(photos.subset([])) == 0
    with pytest.raises(IndexError):
        photos.subset([5])


def test_groups_are_selected_in_the_order_of_the_set():
    assert numbered().select({"y", "x"}).names == ("a", "b", "c", "e")
    with pytest.raises(ValueError, match="no photo in group 'w'; the groups of this set are 'x', 'y', 'z'"):
        numbered().select(["x", "w"])


def test_a_photo_set_refuses_fields_of_different_lengths():
    with pytest.raises(ValueError, match="2 names, 1 scores and 2 groups"):
        PhotoSet(("a", "b"), np.zeros(1), "mos", lambda i: np.zeros((1, 1, 3), np.uint8), ("", ""))


def test_a_photo_set_from_a_table_travels_to_worker_processes(tmp_path):
    photos = read_label_table(table(tmp_path, "name,mos\na.png,1\nb.png,2\n")).subset([1])
    copy = pickle.loads(pickle.dumps(photos))
    np.testing.assert_array_equal(copy.load(0), photos.load(0))
