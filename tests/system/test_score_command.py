"""`riqa score`: the scorer's own scores, paths checked before the model is loaded, notes, constant memory."""

import csv
import dataclasses
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_backbone
from PIL import Image
from skimage import data

import robust_iqa_jax as riqa
from robust_iqa_jax.cli import main
from robust_iqa_jax.commands import score
from robust_iqa_jax.data import images
from robust_iqa_jax.data.images import Picture
from robust_iqa_jax.data.photo_notes import note_on
from robust_iqa_jax.evaluation import photo_scores
from robust_iqa_jax.labels import label_note
from robust_iqa_jax.models import checkpoint
from robust_iqa_jax.models.registry import init_pretrained
from robust_iqa_jax.models.scorer import Calibration, Scorer
from robust_iqa_jax.models.spec import ModelSpec

SIZE = (40, 40)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, hardly_optimised):
    """A checkpoint "model" of a tiny network whose scores spread over about 20 points, and eleven photos in photos/."""
    folder = tmp_path_factory.mktemp("score")
    (folder / "photos").mkdir()
    photo = data.astronaut()
    for i in range(11):  # of all shapes, larger and smaller than the model's input
        crop = photo[20 * i : 20 * i + 33 + 17 * i, 10 * i : 10 * i + 150 - 9 * i]
        Image.fromarray(crop).save(folder / f"photos/{i:02}.png")
    with tiny_backbone.registered():
        spec = ModelSpec(backbone="tiny", taps=("first", "second"), input_size=SIZE)
        calibration = dataclasses.replace(Calibration.identity(), slope=jnp.float32(20), intercept=jnp.float32(50))
        checkpoint.save(folder / "model", Scorer(init_pretrained(spec, jax.random.key(0)), calibration, spec))
        yield folder


@pytest.fixture
def run(folder, capsys):
    def run(*args):
        status = main(["score", *(str(arg) for arg in args), "--checkpoint", str(folder / "model")])
        captured = capsys.readouterr()
        lines = [line for line in captured.err.splitlines() if line]  # a bar that is no terminal's leaves an empty line
        return status, captured.out, lines

    return run


def test_the_terminal_and_a_notebook_give_one_score(folder, run):
    paths = sorted((folder / "photos").iterdir())
    status, out, err = run(*paths, "--json")
    rows = json.loads(out)
    assert (status, err) == (0, [])
    assert [list(row) for row in rows] == [["image", "score", "model"]] * 11
    assert [row["image"] for row in rows] == [str(path) for path in paths]
    printed = np.array([row["score"] for row in rows])
    scorer = riqa.load(folder / "model")
    for path, found in list(zip(paths, printed, strict=True))[::5]:
        direct = float(scorer(riqa.read_image(path)[None])[0])
        assert abs(found - direct) <= 1e-4 * np.ptp(printed)


def test_a_folder_stands_for_its_photos_in_the_order_of_their_names(folder, run, tmp_path):
    for i, name in enumerate(["b.JPG", "a.png", "c.webp", ".hidden.png"]):
        Image.fromarray(data.chelsea()[:60, 60 * i : 60 * i + 60]).save(tmp_path / name)
    (tmp_path / "scores.csv").write_text("a,b")
    (tmp_path / "deeper").mkdir()
    Image.fromarray(data.chelsea()[:60, :60]).save(tmp_path / "deeper/d.png")
    status, out, err = run(tmp_path, folder / "photos/03.png", "--json")
    assert status == 0
    expected = [str(tmp_path / name) for name in ("a.png", "b.JPG", "c.webp")] + [str(folder / "photos/03.png")]
    assert [row["image"] for row in json.loads(out)] == expected
    assert err == [f"riqa: {tmp_path}: 3 photos; no photos by their names: scores.csv"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda d: str(d / "absent.png"), "{}: no such file"),
        (lambda d: "https://example.org/a//photo.png", "{}: is an address, and nothing is downloaded"),
        (lambda d: "s3://bucket/photo.png", "{}: is an address"),
        (lambda d: _written(d / "empty.png", b""), "{}: the file is empty"),
        (lambda d: _written(d / "notes.txt", b"some words"), "{}: not an image"),
        (lambda d: _written(d / "page.jpg", b"<html>"), "{}: not an image but a saved web page"),
        (lambda d: str(d), "{}: a folder without photos"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_what_cannot_be_scored_is_said_before_a_model_is_loaded(tmp_path, run, monkeypatch, make, message, as_json):
    monkeypatch.setattr(checkpoint, "load", lambda _: pytest.fail("the model was loaded"))
    path = make(tmp_path)
    status, out, err = run(path, *["--json"] * as_json)
    assert status == 1
    assert len(err) == 1
    assert err[0].startswith("riqa: " + message.format(path))
    assert out == ("[]\n" if as_json else "")


def _written(path, content):
    path.write_bytes(content)
    return str(path)


def test_the_others_are_scored_where_some_cannot_be(folder, run, tmp_path):
    cut = tmp_path / "cut.png"
    cut.write_bytes((folder / "photos/05.png").read_bytes()[:3000])
    good = sorted((folder / "photos").iterdir())
    given = [*good[:7], cut, tmp_path / "absent.png", *good[7:]]
    status, out, err = run(*given, "--json")
    assert status == 1
    assert [row["image"] for row in json.loads(out)] == [str(path) for path in good]
    assert [line.split(":")[1].strip() for line in err] == [str(tmp_path / "absent.png"), str(cut)]


@pytest.mark.parametrize(
    ("pixels", "more", "note"),
    [
        (data.chelsea()[:1, :1], False, "only 1 x 1 pixels, below 32"),
        (data.chelsea()[:8, :8], False, "only 8 x 8 pixels"),
        (data.chelsea()[:31, :400], False, "only 400 x 31 pixels"),
        (data.chelsea()[:32, :32], False, None),
        (np.full((50, 60, 3), 128, np.uint8), False, "one colour throughout"),
        (data.chelsea()[:50, :60], True, "several pictures"),
    ],
)
def test_a_photo_whose_score_means_little_is_noted(tmp_path, run, pixels, more, note):
    path = tmp_path / "a.gif"
    frames = [Image.fromarray(pixels[::-1].copy())] * more
    Image.fromarray(pixels).save(path, save_all=True, append_images=frames)
    status, out, err = run(path, "--json")
    (row,) = json.loads(out)
    assert status == 0
    assert math.isfinite(row["score"])
    if note is None:
        assert "note" not in row
        assert err == []
    else:
        assert note in row["note"]
        assert err == [f"riqa: {path}: {row['note']}"]


def test_a_great_enlargement_is_noted_where_the_model_s_input_is_large():
    picture = Picture(data.chelsea()[:60, :100], more=False)
    assert note_on(picture, (224, 224)) is None
    assert "enlarged 9 times" in str(note_on(picture, (540, 540)))


def test_photos_are_decoded_as_they_are_scored_and_told_in_order(folder, monkeypatch):
    scorer = riqa.load(folder / "model")
    decoded = []
    real = photo_scores.read_picture
    monkeypatch.setattr(photo_scores, "read_picture", lambda path: decoded.append(path) or real(path))
    paths = [str(folder / "photos/02.png")] * 100
    ahead = [len(decoded) - i for i, _ in enumerate(photo_scores.photo_scores(scorer, paths, pytest.fail))]
    assert len(ahead) == 100
    assert max(ahead) <= 2 * photo_scores.BATCH


def test_a_list_that_is_cut_short_is_whole_json(tmp_path):
    def rows():
        yield photo_scores.PhotoScore("a", 1.5, None)
        raise KeyboardInterrupt

    with (tmp_path / "out").open("w") as file, pytest.raises(KeyboardInterrupt):
        score._write_json(file, rows(), "m")
    assert json.loads((tmp_path / "out").read_text()) == [{"image": "a", "score": 1.5, "model": "m"}]


def test_results_go_to_standard_output_while_a_progress_bar_is_shown(folder, run, monkeypatch):
    # a running bar of rich sends what is printed to its own console, standard error, where that is a terminal
    monkeypatch.setattr("robust_iqa_jax.commands.progress.err._force_terminal", True)
    status, out, _ = run(folder / "photos/03.png", "--json")
    assert status == 0
    assert len(json.loads(out)) == 1


def test_a_score_that_is_not_a_number_is_no_result(folder, run, monkeypatch):
    real = checkpoint.load

    def load(path):
        scorer = real(path)
        return dataclasses.replace(
            scorer, calibration=dataclasses.replace(scorer.calibration, intercept=jnp.float32(jnp.nan))
        )

    monkeypatch.setattr(checkpoint, "load", load)
    status, out, err = run(folder / "photos/03.png", "--json")
    assert (status, json.loads(out)) == (1, [])
    assert "03.png: the model's score is nan" in err[0]


def test_labels_by_a_formula_are_said_to_be(folder, run, monkeypatch):
    real = checkpoint.load
    monkeypatch.setattr(checkpoint, "load", lambda path: dataclasses.replace(real(path), label="pseudo_mos"))
    _, _, err = run(folder / "photos/03.png")
    assert err == [f"riqa: {folder / 'model'}: {label_note('pseudo_mos')}"]


def test_a_name_is_printed_as_it_is_whatever_its_brackets_and_length(folder, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "a[bold]" + "0123456789" * 12 + ".png"
    (tmp_path / name).write_bytes((folder / "photos/03.png").read_bytes())
    printed = run(name)[1]
    assert "".join(line.split("│")[1].strip() for line in printed.splitlines() if line.startswith("│")) == name


def test_read_image_is_public():
    assert riqa.read_image is images.read_image
    assert "read_image" in riqa.__all__


def test_a_table_is_written_photo_by_photo(folder, run, tmp_path):
    table = tmp_path / "made/scores.csv"
    (tmp_path / "none.png").write_bytes(b"no picture")
    status, out, err = run(folder / "photos", tmp_path / "none.png", "--out", table)
    rows = list(csv.DictReader(table.read_text().splitlines()))
    _, listed, _ = run(folder / "photos", "--json")
    assert [(row["image"], float(row["score"]), row["model"]) for row in rows] == [
        (row["image"], row["score"], row["model"]) for row in json.loads(listed)
    ]
    assert status == 1  # one was no picture
    assert len(err) == 1
    assert out.split() == [f"{table}:", "11", "scores", "by", str(folder / "model,"), "higher", "is", "better"]


def test_what_was_scored_before_the_end_stays(tmp_path):
    def rows():
        yield photo_scores.PhotoScore("a", 1.5, None)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score._write_csv(tmp_path / "t.csv", rows(), "m")
    assert (tmp_path / "t.csv").read_text() == "image,score,model,note\na,1.5,m,\n"


@pytest.mark.parametrize(
    ("more", "status", "message"),
    [
        (["--out", "people.csv"], 1, "people.csv: exists and was not written by riqa; choose another --out"),
        (["--out", "photo.png"], 1, "photo.png: is read by this command and would be replaced"),
        (["--out", "a.csv", "--json"], 2, "--json prints the scores and --out writes them; give one of the two"),
    ],
)
def test_a_table_replaces_nothing_of_the_user_s(run, tmp_path, monkeypatch, more, status, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checkpoint, "load", lambda path: pytest.fail("a model is loaded"))
    Image.fromarray(data.chelsea()[:60, :60]).save("photo.png")
    (tmp_path / "people.csv").write_text("image_name,mos\n")
    found, _, err = run("photo.png", *more)
    assert found == status
    assert message in " ".join(err)
    assert (tmp_path / "people.csv").read_text() == "image_name,mos\n"


def test_a_pattern_that_the_shell_left_alone_stands_for_what_matches_it(folder, run):
    status, out, _ = run(folder / "photos/0[12].png", folder / "**/10.png", "--json")
    assert status == 0
    assert [row["image"][-6:] for row in json.loads(out)] == ["01.png", "02.png", "10.png"]
    status, _, err = run(folder / "photos/*.jpg", "--json")
    assert (status, len(err)) == (1, 1)
    assert "*.jpg: no file matches it" in err[0]
