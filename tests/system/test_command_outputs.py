"""No command replaces what it reads, or a file that riqa did not write; each says so before it works."""

import csv
import hashlib
import shutil

import numpy as np
import photo_tables
import pytest
import tiny_backbone
from PIL import Image
from small_report import small_report
from tiny_checkpoint import write_checkpoint

from robust_iqa_jax.cli import main
from robust_iqa_jax.models import checkpoint
from robust_iqa_jax.report.files import write_report

pytestmark = [
    pytest.mark.usefixtures("hardly_optimised"),
    pytest.mark.filterwarnings("ignore:The field .model.backbone.:UserWarning"),  # "tiny" is none of the shipped ones
]


@pytest.fixture(scope="module", autouse=True)
def tiny():
    with tiny_backbone.registered():
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    photo_tables.write_photo_table(folder / "photos", count=4, side=40)
    write_checkpoint(folder / "model", label="pseudo_mos")
    write_report(folder / "report", small_report())
    return folder


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    """A copy that a test may harm, as working directory."""
    shutil.copytree(made, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def contents(folder):
    """Every file by name with its digest, but for lists and locks."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".riqa")
    }


ATTACK = ["attack", "--checkpoint", "model", "--steps", "1"]


@pytest.mark.parametrize(
    ("args", "named"),
    [
        ([*ATTACK, "photos/0.png", "--out", "photos"], "photos/0.png: is read by this command"),
        ([*ATTACK, "link/0.png", "--out", "photos"], "photos/0.png: is read by this command"),
        ([*ATTACK, "hard.png", "--out", "photos"], "photos/hard.png: is read by this command"),
        ([*ATTACK, "elsewhere/1.png", "--out", "photos"], "photos/1.png: exists and was not written by riqa"),
        ([*ATTACK, "elsewhere/new.png", "--out", "photos"], "photos/scores.csv: exists and was not written by riqa"),
        (["compare", "report:base", "report:robust", "--out", "photos/0.png"], "photos/0.png: exists and was not"),
        (["report", "report", "--out", "mine"], "mine/report.md: exists and was not written by riqa"),
        (["evaluate", "model", "--out", "mine"], "mine/report.md: exists and was not written by riqa"),
        (["quickstart", "--out", "mine"], "mine/report.md: exists and was not written by riqa"),
        (["study", "study.py", "--out", "mine"], "mine/report.md: exists and was not written by riqa"),
        (["train", "run.py", "--workdir", "run"], "run: holds checkpoints and no config.json"),
        (["train", "run.py", "--workdir", "app"], "app: its config.json is not one of a run"),
        (["bench", "solvers", "--case", "small", "--json", "mine/rows.json"], "mine/rows.json: exists and was not"),
        (["attack", "photos/0.png", "--checkpoint", "model", "--out", "text"], "--out text: text is a file"),
        (["quickstart", "--out", "text"], "--out text: text is a file; give a folder"),
        (["evaluate", "model", "--data", "photos/scores.csv", "--out", "text"], "--out text: text is a file"),
        (["report", "report", "--out", "text"], "--out text: text is a file"),
        (["train", "run.py", "--workdir", "text"], "--workdir text: text is a file"),
        (["bench", "solvers", "--trace", "text"], "--trace text: text is a file"),
    ],
)
def test_nothing_of_a_users_is_replaced(args, named, folder, capsys):
    (folder / "elsewhere").mkdir()
    for name in ("1.png", "new.png"):
        shutil.copy(folder / "photos" / "2.png", folder / "elsewhere" / name)
    (folder / "link").symlink_to(folder / "photos")
    (folder / "photos" / "hard.png").hardlink_to(folder / "photos" / "3.png")
    (folder / "hard.png").symlink_to(folder / "photos" / "hard.png")
    (folder / "text").write_text("a file where a folder should be")
    (folder / "mine").mkdir()
    for name in ("report.tex", "report.md", "rows.json", "model.safetensors"):
        (folder / "mine" / name).write_text("mine")
    (folder / "run" / "checkpoints" / "100").mkdir(parents=True)
    (folder / "app").mkdir()
    (folder / "app" / "config.json").write_text('{"theme": "dark"}')
    run = "from robust_iqa_jax.models.spec import ModelSpec\nfrom robust_iqa_jax.training.config import TrainConfig\n"
    run += "SPEC = ModelSpec(backbone='tiny', taps=('first', 'second'), input_size=(32, 32))\n"
    run += "BASE = TrainConfig(model=SPEC, data='photos/scores.csv', steps=1, batch_size=2)\n"
    (folder / "run.py").write_text(run + "get_config = lambda: BASE\n")
    study = "from robust_iqa_jax.study import StudyConfig\nget_config = lambda: StudyConfig(BASE)\n"
    (folder / "study.py").write_text(run + study)
    before = contents(folder)
    assert main(args) == 1
    error = capsys.readouterr().err
    assert named in " ".join(error.split())
    assert contents(folder) == before


@pytest.mark.slow
def test_a_folder_of_ours_is_written_to_again(folder):
    for _ in range(2):
        assert main([*ATTACK, "photos/0.png", "--out", "out"]) == 0
        assert main(["compare", "report:base", "report:robust", "--out", "figure.png"]) == 0
        assert main(["report", "report"]) == 0
    assert main([*ATTACK, "out/0.png", "--out", "out"]) == 1, "what was written may be read, but not replaced then"


def test_a_model_is_not_saved_over_others(folder):
    scorer = checkpoint.load(folder / "model")
    weights = folder / "theirs"
    weights.mkdir()
    (weights / "model.safetensors").write_bytes(b"weights of another program")
    with pytest.raises(ValueError, match=r"model\.safetensors: exists and was not written by riqa"):
        checkpoint.save(weights, scorer)
    assert (weights / "model.safetensors").read_bytes() == b"weights of another program"
    for path in (folder / "model").glob(".riqa*"):
        path.unlink()  # a copy without hidden files, or the folder of an older version
    checkpoint.save(folder / "model", scorer)


def test_an_attacked_photo_has_its_own_size_unless_asked(folder, capsys):
    photo = pixels("photos/0.png")[:36]
    Image.fromarray(photo).save("wide.png")
    options = ["--checkpoint", "model", "--steps", "2", "--eps", "8/255"]
    assert main(["attack", "wide.png", *options, "--out", "own"]) == 0
    captured = capsys.readouterr()
    assert "labels by a formula, not people" in captured.err.lower()
    assert main(["attack", "wide.png", *options, "--size", "model", "--out", "small"]) == 0
    adversarial = pixels("own/wide.png").astype(int)
    assert adversarial.shape == (36, 40, 3)
    assert 0 < np.abs(adversarial - photo).max() <= 8
    assert pixels("small/wide.png").shape == (32, 32, 3)
    with open("own/scores.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    scorer = checkpoint.load(folder / "model")
    assert float(row["clean"]) == pytest.approx(float(scorer(photo[None].astype(np.float32) / 255)[0]), abs=1e-3)
    assert float(row["attacked"]) > float(row["clean"])
    assert list(row) == [
        *("image", "adversarial", "difference", "difference_gain", "attack", "clean", "attacked", "attacked_8bit")
    ]


def test_a_photo_too_large_for_memory_is_attacked_at_the_models_size_and_said_to_be(folder, capsys, monkeypatch):
    monkeypatch.setattr("robust_iqa_jax.commands.attack.LARGEST", 40 * 40 - 1)
    assert main([*ATTACK, "photos/0.png", "--out", "out"]) == 0
    assert "photos/0.png: 40x40 is too large for an attack at its own size" in capsys.readouterr().err
    with Image.open("out/0.png") as written:
        assert written.size == (32, 32)
