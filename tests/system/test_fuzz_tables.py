"""Damaged label tables of every kind that is read: photos with names and finite scores, or one line with the file."""

import numpy as np
import pytest
from mutations import mutated
from PIL import Image

from robust_iqa_jax.data.label_table import read_label_table
from robust_iqa_jax.data.open import open_photos
from robust_iqa_jax.data.photo_files import LabelTableError

TABLES = [
    b"image_name,mos,fold\na.png,1,0\nb.png,2.5,1\nc.png,3,1\n",
    b'"image";"mos"\r\n"a.png";"1,5"\r\n"b.png";"2,5"\r\n',
    b"sep=\t\nfile\tscore\na.png\t1\nb\t2\n",
    b"\xef\xbb\xbfname,Mean Opinion Score\nimages/a.png,1e1\n..\\photos\\b.png,-2\n",
    "image;mos\na.png;1\nc;2\n".encode("utf-16"),
    b"a.png,1\nb.png,2\nc.png,3\n",
]
WORDS = (
    b'"',
    b",",
    b";",
    b"\t",
    b"\n",
    b"\r",
    b"nan",
    b"inf",
    b"1e999",
    b"../",
    b"/",
    b"\0",
    b"\xff\xfe",
    b"mos",
    b"sep=",
    b"5",
    b"0",
    b".5",
    b" ",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz") / "photos"
    (folder / "images").mkdir(parents=True)
    for name in ("a.png", "b.png", "images/c.png", "images/a.png"):
        Image.new("RGB", (4, 3)).save(folder / name)
    return folder


def with_words(data, rng):
    """Damage in the words of a table, more often than in its bytes."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 3))):
        at, length = (int(rng.integers(n)) for n in (len(out) + 1, 3))
        out[at : at + length] = WORDS[int(rng.integers(len(WORDS)))]
    return mutated(bytes(out), rng) if rng.random() < 0.4 else bytes(out)


@pytest.mark.parametrize("count", [200, pytest.param(10_000, marks=pytest.mark.slow)])
def test_damaged_tables_are_read_or_refused_in_one_line(folder, count):
    path, rng, read = folder / "labels.csv", np.random.default_rng(count), 0
    for table in TABLES:
        path.write_bytes(table)
        assert len(read_label_table(path)) >= 2
    for i in range(count):
        path.write_bytes(with_words(TABLES[i % len(TABLES)], rng))
        try:
            photos = open_photos(path) if i % 2 else read_label_table(path)
        except LabelTableError as error:
            message = str(error)
            assert message.startswith(str(path))
            assert "\n" not in message
            assert len(message) < 2000
            continue
        read += 1
        assert len(set(photos.names)) == len(photos) > 0
        assert np.isfinite(photos.scores).all()
        assert photos.load(0).shape == (3, 4, 3)
    assert 0.01 * count < read < 0.9 * count
