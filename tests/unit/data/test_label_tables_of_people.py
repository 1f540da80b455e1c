"""Label tables as people have them: spreadsheets' ways to write them, columns of other names, no header, no groups."""

import numpy as np
import pytest
from PIL import Image

from robust_iqa_jax.data import label_table
from robust_iqa_jax.data.label_table import read_label_table
from robust_iqa_jax.data.open import check_test_photos, check_training_photos, open_photos, split_photos
from robust_iqa_jax.data.photo_files import LabelTableError
from robust_iqa_jax.data.photo_set import PhotoSet


@pytest.fixture
def table(tmp_path):
    """Writes a table beside the photos a.png and b.png."""

    def write(text, encoding="utf-8"):
        for i, name in enumerate(("a.png", "b.png")):
            Image.new("RGB", (4, 3), (i, i, i)).save(tmp_path / name)
        (tmp_path / "labels.csv").write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
        return tmp_path / "labels.csv"

    return write


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ('image,mos\na.png,"1,5"\nb.png,"2,25"\n', "utf-8"),
        ("image;mos\na.png;1,5\nb.png;2,25\n", "utf-8"),
        ('"image"\t"mos"\na.png\t1,5\nb.png\t2.25\n', "utf-8"),
        ("Image,Mean Opinion Score\na.png,1.5\nb.png,2.25\n", "utf-8"),
        ("Image Name,Mean-Score\na.png,1.5\nb.png,2.25\n", "utf-8"),
        ("photo,Quality Score\na.png,1.5\nb.png,2.25\n", "utf-8"),
        ("File Path;MOS\na.png;1.5\nb.png;2.25\n", "utf-8"),
        ("sep=;\nimage;mos\na.png;1,5\nb.png;2,25\n", "utf-8"),
        ("sep=,\r\nimage,mos\r\na.png,1.5\r\nb.png,2.25\r\n", "utf-8"),
        ('"sep=\t"\nimage\tmos\na.png\t1.5\nb.png\t2.25\n', "utf-8-sig"),
        ("image,mos\na.png,1.5\nb.png,2.25\n", "utf-8-sig"),
        ("image\tmos\r\na.png\t1,5\r\nb.png\t2,25\r\n", "utf-16"),
        ("image,mos\na.png,1.5\nb.png,2.25\n", "utf-16"),
        ("a.png,1.5\nb.png,2.25\n", "utf-8"),
        ("1.5;a.png\n2.25;b.png\n", "utf-8"),
        ("a.png;1,5\nb.png;2,25\n", "utf-8"),
        ('a.png,"1,5"\nb.png,"2,25"\n', "utf-8"),
        ("a,1.5\nb,2.25\n", "utf-8"),
        ("image,1,2,3,mos\na.png,0,1,1,1.5\nb.png,0,1,1,2.25\n", "utf-8"),
        (",image,mos\n0,a.png,1.5\n1,b.png,2.25\n", "utf-8"),
        ('"image, as shown",mos,name\nx,1.5,a.png\ny,2.25,b.png\n', "utf-8"),
        ("image;mos (0,100,1);mos\na.png;x;1.5\nb.png;x;2.25\n", "utf-8"),
    ],
)
def test_a_table_as_people_have_it_is_read(table, text, encoding):
    photos = read_label_table(table(text, encoding))
    assert [name.split(".")[0] for name in photos.names] == ["a", "b"]
    assert photos.scores.tolist() == [1.5, 2.25]
    assert [int(photos.load(i)[0, 0, 0]) for i in range(2)] == [0, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "image,mos,rating\na.png,1,2\nb.png,3,4\n",
            "2 columns may be the score: 'mos', 'rating'; choose with score_column 'rating'",
        ),
        ("image,MOS,mos\na.png,1,2\n", "2 columns may be the score: 'MOS', 'mos'; rename one"),
        ("image,Image,mos\na.png,a.png,2\n", "2 columns may be the image name: 'image', 'Image'; rename one"),
        (
            "image,mos,split,fold\na.png,1,train,0\n",
            "2 columns may be the group: 'split', 'fold'; choose with group_column 'fold'",
        ),
        (
            "stimulus,mos\na.png,1\n",
            "no image name column .* choose with image_column 'NAME'",
        ),
        ("a.png,1,train\nb.png,2,test\n", "line 1: 'a.png,1,train' has numbers where names of columns are expected"),
        ("10,62.1\n11,35.8\n", "line 1: '10,62.1' has numbers where names"),
        ("image mos\na.png 1\n", "no comma, semicolon or tab divides its header"),
        ("sep=;\n", "the table is empty below its line 'sep=;'"),
        (
            "image,mos\na.png,nan\nb.png,\nc.png,1\n",
            r"line 2: 'mos' is 'nan', not a finite number, nor is it in 1 more rows",
        ),
        ("image,mos\na.png,1_5\n", "line 2: 'mos' is '1_5', not a finite number"),
        ("image;mos\na.png;1.234,5\n", "line 2: 'mos' is '1.234,5', not a finite number"),
        ("image,mos\na.png,1\na.png,2\n", "line 3: 'a.png' was already given in line 2; keep one, of several ratings"),
        ("image,mos\na\0b.png,1\n", "holds zero bytes"),
        ("image,mos\n" + "x" * 5000 + ".png,1\n", "1 of 1 images are not in"),
        (b"PK\x03\x04" + bytes(50), "not a CSV table but a workbook"),
        (b"<!doctype html><p>", "not a CSV table but a saved web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "not a CSV table but a Git-LFS pointer"),
        (b"\x89PNG\r\n\x1a\n", "not a CSV table but an image"),
        (b"\xff\xfei\x00m\x00a", "not a text file in UTF-8"),
    ],
)
def test_what_cannot_be_read_is_one_line_that_says_how_it_could(table, text, message):
    with pytest.raises(LabelTableError, match=message) as caught:
        read_label_table(table(text))
    assert "\n" not in str(caught.value)


def test_a_column_that_is_named_settles_what_is_ambiguous(table):
    path = table("photo,mos,Mean Rating,split,fold\na.png,1,10,train,0\nb.png,2,20,test,1\n")
    photos = open_photos(path, image_column="photo", score_column="mean_rating", group_column="Fold")
    assert (photos.scores.tolist(), photos.groups, photos.note) == ([10, 20], ("0", "1"), "")


def test_columns_and_a_folder_are_refused_where_there_is_no_table(tmp_path):
    for options, message in (
        ({"score_column": "mos"}, "score_column mos: only a CSV has columns to name, distorted-photos is none"),
        ({"image_dir": tmp_path}, "image_dir .*: distorted-photos has its images with it"),
    ):
        with pytest.raises(ValueError, match=message):
            open_photos("distorted-photos", **options)


def test_images_elsewhere_are_found_by_their_folder(table, tmp_path):
    path = table("image,mos\na.png,1\nb.png,2\n")
    (tmp_path / "t").mkdir()
    moved = path.rename(tmp_path / "t/labels.csv")
    with pytest.raises(LabelTableError, match=r"2 of 2 images are not in .*: a\.png, b\.png; .* image_dir"):
        open_photos(moved)
    assert len(open_photos(moved, image_dir=tmp_path)) == 2


def test_the_table_of_the_shared_faults_is_read(shared_data):
    path = shared_data.parent / "faults/header_with_spaces.csv"
    if not path.is_file():
        pytest.skip(f"no {path}")
    assert read_label_table(path).scores.tolist() == [50]


def test_a_table_over_the_limit_is_refused(table, monkeypatch):
    monkeypatch.setattr(label_table, "MAX_TABLE_BYTES", 10)
    with pytest.raises(LabelTableError, match=r"labels\.csv: larger than"):
        read_label_table(table("image,mos\na.png,1\n"))


def numbered(count, scores=None):
    names = tuple(f"{i}.png" for i in range(count))
    values = np.arange(count, dtype=np.float64) if scores is None else np.array(scores, np.float64)
    return PhotoSet(names, values, "mos", lambda i: np.full((2, 2, 3), i, np.uint8), ("",) * count)


@pytest.mark.parametrize(("count", "tested"), [(2, 1), (3, 1), (4, 2), (10, 2), (100, 20), (1001, 200)])
def test_photos_without_groups_are_split_by_their_names(count, tested):
    photos = numbered(count).with_default_split()
    training, test = split_photos(photos, "test")
    assert (len(training), len(test)) == (count - tested, tested)
    assert f"{tested} of {count} photos" in photos.note
    shuffled = numbered(count).subset(np.random.default_rng(0).permutation(count)).with_default_split()
    assert set(shuffled.select("test").names) == set(test.names)
    assert test.note == photos.note


def test_a_table_without_groups_can_be_trained_on(table):
    photos = open_photos(table("image,mos\na.png,1\nb.png,2\n"))
    training, test = split_photos(photos, "test")
    assert len(training) == len(test) == 1
    assert "no column of groups" in photos.note


@pytest.mark.parametrize("scores", [[], [3], [3, 3, 3]])
def test_photos_that_no_accuracy_can_be_computed_on_are_refused(scores):
    photos = numbered(len(scores), scores)
    with pytest.raises(ValueError, match=r"^test photos: (\d photo there|the 3 photos have equal scores, 3)"):
        check_test_photos(photos)
    with pytest.raises(ValueError, match=r"^training photos: "):
        check_training_photos(photos)


def test_two_photos_of_two_scores_suffice():
    check_test_photos(numbered(2))
    check_training_photos(numbered(2))
