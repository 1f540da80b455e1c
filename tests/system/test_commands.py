"""The commands as a user types them: results, one-line errors, exit statuses."""

import csv
import json

import jax
import jax.numpy as jnp
import numpy as np
import photo_tables
import pytest
import tiny_backbone
from PIL import Image
from safetensors.numpy import load_file, save_file
from skimage import data
from tiny_checkpoint import write_checkpoint

import robust_iqa_jax as riqa
from robust_iqa_jax.attacks.registry import make
from robust_iqa_jax.cli import main
from robust_iqa_jax.commands.evaluate import EvaluateArgs, _attacks
from robust_iqa_jax.data.images import at_size
from robust_iqa_jax.data.open import open_photos
from robust_iqa_jax.evaluation.predictions import predict
from robust_iqa_jax.evaluation.results import ResultFolder
from robust_iqa_jax.models.spec import BlockSpec

PHOTOS = {"astronaut": data.astronaut, "coffee": data.coffee, "cat": data.chelsea}


pytestmark = [
    pytest.mark.usefixtures("hardly_optimised"),
    pytest.mark.filterwarnings("ignore:The field .model.backbone.:UserWarning"),  # "tiny" is none of the shipped ones
]


@pytest.fixture(scope="module", autouse=True)
def tiny_networks():
    with tiny_backbone.registered():
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_networks):
    """Two small checkpoints with drawn weights, and photos in two lossless formats."""
    folder = tmp_path_factory.mktemp("commands")
    for name, block in (("base", None), ("robust", BlockSpec("first", 4))):
        write_checkpoint(folder / name, label="pseudo_mos", block=block)
    for name, photo in PHOTOS.items():
        Image.fromarray(photo()).save(folder / f"{name}.png")
        Image.fromarray(photo()).save(folder / f"{name}.webp", lossless=True)
    (folder / "text.jpg").write_text("not an image")
    (folder / "cut.png").write_bytes((folder / "cat.png").read_bytes()[:9000])
    return folder


def run(capsys, *args):
    status = main([str(arg) for arg in args])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.mark.slow
def test_an_image_scores_the_same_alone_in_a_batch_and_in_another_lossless_format(folder, capsys):
    paths = [folder / f"{name}.{kind}" for name in PHOTOS for kind in ("png", "webp")]
    status, out, _ = run(capsys, "score", *paths, "--checkpoint", folder / "robust", "--json")
    together = json.loads(out)
    assert status == 0
    assert [row["image"] for row in together] == [str(path) for path in paths]
    assert all(row["model"] == str(folder / "robust") for row in together)
    scores = [row["score"] for row in together]
    spread = max(scores) - min(scores)
    assert spread > 1e-3
    for path, score in zip(paths, scores, strict=True):
        alone = json.loads(run(capsys, "score", path, "--checkpoint", folder / "robust", "--json")[1])
        assert alone[0]["score"] == pytest.approx(score, abs=1e-4 * spread)
    for png, webp in zip(scores[::2], scores[1::2], strict=True):
        assert png == pytest.approx(webp, abs=1e-5 * spread)


def test_a_photo_has_one_score_in_the_terminal_a_notebook_an_evaluation_and_an_attack(folder, capsys, tmp_path):
    paths = [folder / f"{name}.png" for name in PHOTOS]
    scorer = riqa.load(folder / "base")
    notebook = [float(scorer(riqa.read_image(path)[None])[0]) for path in paths]
    printed = json.loads(run(capsys, "score", *paths, "--checkpoint", folder / "base", "--json")[1])
    found = {"terminal": [row["score"] for row in printed]}
    (folder / "photos.csv").write_text("image_name,mos\n" + "".join(f"{path.name},1\n" for path in paths))
    found["evaluation"] = predict(scorer, open_photos(folder / "photos.csv"))
    for size in ("own", "model"):
        options = ["--attack", "quantise", "--size", size, "--out", tmp_path / size]
        run(capsys, "attack", *paths, "--checkpoint", folder / "base", *options)
        with (tmp_path / size / "scores.csv").open() as file:
            found[f"attack, {size}"] = [float(row["clean"]) for row in csv.DictReader(file)]
    for scores in found.values():
        np.testing.assert_allclose(scores, notebook, rtol=0, atol=1e-4 * np.ptp(notebook))


def test_unreadable_images_are_named_and_the_others_scored(folder, capsys):
    bad = [folder / "text.jpg", folder / "cut.png", folder / "absent.png"]
    status, out, err = run(capsys, "score", folder / "cat.png", *bad, "--checkpoint", folder / "base", "--json")
    assert status == 1
    assert [row["image"] for row in json.loads(out)] == [str(folder / "cat.png")]
    for path in bad:
        assert sum(str(path) in line for line in err.splitlines()) == 1


def test_table_names_the_scale(folder, capsys):
    status, out, _ = run(capsys, "score", folder / "cat.png", "--checkpoint", folder / "base")
    assert status == 0
    assert "pseudo_mos" in out


@pytest.mark.parametrize(
    ("args", "status", "message"),
    [
        (["score", "cat.png", "--checkpoint", "nowhere"], 1, "nowhere: no such checkpoint"),
        (["paint"], 2, "unknown command 'paint'; did you mean"),
        (["train", "absent.py"], 1, "absent.py: no such configuration file"),
        (["train", "absent"], 1, "unknown configuration 'absent'; there are accurate_lite0, "),
        (["train"], 2, "give a configuration first"),
        (["train", "quickstart"], 1, "gives a StudyConfig, this command needs a TrainConfig; give it to `riqa study`"),
        (["train", "clive_lite0", "--data", "absent.csv"], 1, "absent.csv: no such label table"),
        (["evaluate", "base", "--defense", "jpg:75"], 2, "unknown defense 'jpg'; did you mean jpeg?"),
        (["evaluate", "base", "--adaptive"], 2, "--adaptive attacks through a defence; give one with --defense"),
        (["evaluate", "base", "--defense", "flip", "--draws", "0"], 2, "--draws 0: give a whole number from 1"),
        (["evaluate", "base", "--attack", "uap"], 2, "--attack uap: is fitted on other photos first"),
        (["evaluate", "base", "--attack", "pgdd"], 2, "unknown attack 'pgdd'; did you mean pgd?"),
        (["evaluate", "base", "--transfer"], 2, "--transfer: attacks made on other models need two checkpoints"),
        (["evaluate", "base", "--devices", "99"], 1, "devices: 99 asked for, this process has"),
        (["study", "clive_lite0"], 1, "gives a TrainConfig, this command needs a StudyConfig; give it to `riqa train`"),
        (["study", "clive_reduced"], 1, "clive/scores.csv: no such label table"),
        (["attack", "cat.png", "--checkpoint", "base", "--eps", "four"], 2, "--eps four: give a number or a fraction"),
        (
            ["attack", "cat.png", "--checkpoint", "base", "--eps", "-1"],
            2,
            "attack: --eps: eps must be above 0 and finite, got -1",
        ),
        (["attack", "cat.png", "--checkpoint", "base", "--steps", "2.5"], 2, "--steps 2.5: give a whole number"),
        (["attack", "cat.png", "--checkpoint", "base", "--steps"], 2, "Missing value for argument '--steps'"),
        (["attack", "cat.png", "--checkpoint", "base", "--attack", "laser"], 2, "unknown attack 'laser'; there are"),
        (["attack", "--checkpoint", "base"], 2, "riqa attack: give at least one image"),
        (
            ["attack", "cat.png", "--checkpoint", "base", "--attack", "jpeg", "--steps", "3"],
            2,
            "riqa attack: jpeg has no --steps; its settings: --quality, --subsampling",
        ),
        (["attack", "cat.png", "--checkpoint", "base", "--attack", "quantise", "--eps=1"], 2, "settings: none"),
        (["attack", "cat.png", "--checkpoint", "base", "--direction", "up"], 2, "unknown direction 'up'"),
        (
            ["attack", "cat.png", "--checkpoint", "base", "--direction", "invert"],
            2,
            "pgd-8-invert looks at a batch as a whole",
        ),
        (["attack", "cat.png", "--checkpoint", "base", "--fit-on", "coffee.png"], 2, "not fitted on images"),
    ],
)
def test_a_users_mistake_is_one_line(args, status, message, folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    try:
        got = main(args)
    except SystemExit as stop:
        got = stop.code
    err = capsys.readouterr().err
    assert got == status
    assert message in " ".join(err.split())
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("args", "allowed"),
    [
        (["score", "cat.png", "--checkpoint", "base", "--colour", "red"], "--colour"),
        (["train", "clive_lite0", "--block-start", "magic"], "projection"),
    ],
)
def test_a_bad_option_names_the_allowed_values_with_status_2(args, allowed, folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as stop:
        main(args)
    assert stop.value.code == 2
    captured = capsys.readouterr()
    assert allowed in captured.err + captured.out


def test_attack_writes_lossless_images_inside_the_ball_and_their_scores(folder, capsys, tmp_path):
    status, _, _ = run(
        capsys, "attack", folder / "cat.png", folder / "coffee.png", folder / "text.jpg", "--checkpoint",
        folder / "base", "--eps", "8/255", "--steps", 2, "--size", "model", "--out", tmp_path,
    )  # fmt: skip
    assert status == 1
    with (tmp_path / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == [str(folder / "cat.png"), str(folder / "coffee.png")]
    scorer = riqa.load(folder / "base")
    for row, photo in zip(rows, (data.chelsea(), data.coffee()), strict=True):
        assert row["attack"] == "pgd-2"
        adversarial = np.asarray(Image.open(row["adversarial"])).astype(int)
        clean = 255 * at_size(photo, (32, 32))
        assert 7 < np.abs(adversarial - clean).max() <= 8.51  # eps and the rounding of the PNG
        shown = np.asarray(Image.open(row["difference"])).astype(int)
        np.testing.assert_allclose(shown - 128, int(row["difference_gain"]) * (adversarial - clean), atol=0.51)
        assert 100 < np.abs(shown - 128).max() < 128
        stored = float(scorer(jnp.asarray(adversarial[None] / 255, jnp.float32))[0])
        assert float(row["attacked_8bit"]) == pytest.approx(stored, abs=1e-3)
        assert float(row["attacked"]) > float(row["clean"])


@pytest.mark.parametrize(
    ("name", "options", "label"),
    [
        ("square", ["--queries", 8, "--direction=lower"], "square-8-lower"),
        ("uniform-noise", ["--signs", "--eps", 0.02], "uniform-noise-signs"),
        ("jpeg", ["--quality", 5], "jpeg-5"),
        ("quantise", ["--to-8bit"], "quantise"),
    ],
)
def test_attacks_of_the_registry_run_with_their_own_options(name, options, label, folder, capsys, tmp_path):
    paths = [folder / "cat.png", folder / "cat.webp"]
    options = [*options, "--size", "model", "--checkpoint", folder / "base", "--out", tmp_path]
    status, out, _ = run(capsys, "attack", *paths, "--attack", name, *options)
    assert status == 0
    with (tmp_path / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["attack"] for row in rows] == [label, label]
    assert label in out
    assert ("as 8-bit PNG" in out) == (name == "quantise")
    moved = float(rows[0]["attacked"]) - float(rows[0]["clean"])
    if name == "quantise":  # of a photo that was resized; one at its own size has 256 levels already
        assert float(rows[0]["attacked"]) == pytest.approx(float(rows[0]["attacked_8bit"]), abs=1e-4)
        assert abs(moved) > 1e-4
    else:
        assert moved < 0 if name == "square" else abs(moved) > 1e-4
    pictures = {path.name for path in tmp_path.glob("*.png")}
    assert pictures == {"cat.png", "cat_difference.png", "cat_1.png", "cat_1_difference.png"}
    assert [row["adversarial"] for row in rows] == [str(tmp_path / "cat.png"), str(tmp_path / "cat_1.png")]


def test_a_universal_attack_is_fitted_on_other_images_and_written_down(folder, capsys, tmp_path):
    options = ("--attack", "uap", "--eps", "8/255", "--epochs", 2, "--checkpoint", folder / "base", "--out", tmp_path)
    status, _, err = run(capsys, "attack", folder / "cat.png", *options)
    assert status == 2
    assert "uap is fitted on images first; give them with --fit-on IMAGE..." in " ".join(err.split())
    status, out, _ = run(
        capsys, "attack", folder / "cat.png", *options, "--fit-on", folder / "coffee.png", folder / "astronaut.png"
    )
    assert status == 0
    assert "fitted on 2 images" in out
    universal = np.load(tmp_path / "universal.npy")
    assert universal.shape == (32, 32, 3)
    assert 0 < np.abs(universal).max() <= 8 / 255 * (1 + 1e-6)
    clean = at_size(data.chelsea(), (32, 32))
    adversarial = np.asarray(Image.open(tmp_path / "cat.png"))
    np.testing.assert_allclose(adversarial, np.clip(clean + universal, 0, 1) * 255, atol=0.51)
    shown = np.asarray(Image.open(tmp_path / "universal.png")).astype(int) - 128
    assert np.corrcoef(shown.ravel(), universal.ravel())[0, 1] > 0.99


@pytest.mark.slow
def test_evaluate_attacks_through_a_defence_and_shows_blind_attacks_beside(folder, capsys, tmp_path):
    table = photo_tables.write_photo_table(tmp_path, count=8, side=40)
    status, out, _ = run(
        capsys, "evaluate", folder / "base", "--data", table, "--steps", 1, "--eps", 0.02, "--attack-photos", 2,
        "--defense", "flip", "--adaptive", "--draws", 2, "--out", tmp_path / "report",
    )  # fmt: skip
    assert status == 0
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert [(row["model"], row["attack"]) for row in report["rows"]] == [
        ("base", "pgd-1"), ("base+flip-0.5", "pgd-1-blind"), ("base+flip-0.5", "pgd-1"),
    ]  # fmt: skip
    assert "| base+flip-0.5 | base | pgd-1 | 0.02 |" in out


def test_evaluate_runs_every_combination_of_settings_that_an_attack_has():
    both = ("raise", "lower")
    given = EvaluateArgs(attack=("fgsm", "apgd", "jpeg"), steps=(2, 3), direction=both, eps=(0.01,), suite=True)
    names = [attack.name for attack in _attacks(given)]
    assert names == [
        "fgsm", "fgsm-lower", "apgd-2", "apgd-2-lower", "apgd-3", "apgd-3-lower", "jpeg-75", "suite-20",
        "suite-20-lower",
    ]  # fmt: skip
    assert [(attack.name, attack.eps) for attack in _attacks(EvaluateArgs(eps=(0.01, 0.02)))] == [
        ("pgd-1", 0.01), ("pgd-1", 0.02), ("pgd-8", 0.01), ("pgd-8", 0.02)
    ]  # fmt: skip
    assert [attack.name for attack in _attacks(EvaluateArgs(attack=("multi-square",), eps=(0.01,)))] == [
        make("multi-square").name
    ]


@pytest.mark.slow
def test_evaluate_takes_attacks_by_name_both_ways_and_those_made_on_the_other_model(folder, capsys, tmp_path):
    table = photo_tables.write_photo_table(tmp_path, count=8, side=40)
    status, _, _ = run(
        capsys, "evaluate", folder / "base", folder / "robust", "--data", table, "--attack", "fgsm", "quantise",
        "--direction", "raise", "lower", "--eps", 0.02, "--attack-photos", 2, "--transfer",
        "--out", tmp_path / "report",
    )  # fmt: skip
    assert status == 0
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    of_base = [row["attack"] for row in report["rows"] if row["model"] == "base"]
    assert of_base == [
        f"{attack}{made}" for made in ("", "-from-robust") for attack in ("fgsm", "fgsm-lower", "quantise")
    ]
    assert report["attacks"]["fgsm-lower-from-robust"]["source"] == "robust"


def test_evaluate_writes_a_report_of_both_models(folder, capsys, tmp_path):
    table = photo_tables.write_photo_table(tmp_path, count=8, side=40)
    status, out, _ = run(
        capsys, "evaluate", folder / "base", folder / "robust", "--data", table, "--steps", 1, "--eps", 0.01, 0.02,
        "--attack-photos", 2, "--out", tmp_path / "report",
    )  # fmt: skip
    assert status == 0
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert [(row["model"], row["eps"]) for row in report["rows"]] == [
        ("base", 0.01), ("base", 0.02), ("robust", 0.01), ("robust", 0.02),
    ]  # fmt: skip
    keys = {"model", "srocc", "plcc", "attack", "eps", "abs_gain", "abs_gain_baseline_range", "rscore"}
    assert all(keys <= row.keys() for row in report["rows"])
    assert "| robust | pgd-1 |" in out
    assert "- robust under pgd-1: the baseline's effect" in out
    parameters = sum(leaf.size for leaf in jax.tree.leaves(riqa.load(folder / "robust").variables["params"]))
    facts = report["models"]["robust"]
    assert (facts["parameters"], facts["test_photos"], facts["train_seconds"]) == (parameters, 4, None)
    assert "test_seconds" not in facts
    assert report["run"]["seed"] == 0
    assert report["run"]["jax"] == jax.__version__
    assert json.loads((tmp_path / "report" / "timings.json").read_text())["robust"]["test_seconds"] > 0
    assert {p.name for p in (tmp_path / "report").glob("[!.]*")} == {
        "report.json", "report.md", "tradeoff.png", "per_image.csv", "perturbations.json", "timings.json", "cells",
    }  # fmt: skip


SUITE = """
from robust_iqa_jax.evaluation.suite import SuiteAttack, SuiteConfig, SuiteData

def get_config():
    attacks = (
        SuiteAttack("pgd", (0.01, 0.02), {{"steps": 1}}),
        SuiteAttack("uap", (0.02,), {{"epochs": 1}}),
        SuiteAttack("quantise"),
    )
    data = {{"photos": SuiteData({table!r}, attack_photos=2, fit_photos=2)}}
    return SuiteConfig({{"base": {base!r}, "robust": {robust!r}}}, data, attacks)
"""


@pytest.mark.slow
def test_a_suite_also_checks_for_masked_gradients_and_tries_what_was_made_on_the_other_model(folder, capsys, tmp_path):
    table = photo_tables.write_photo_table(tmp_path, count=8, side=40)
    paths = {"table": str(table), "base": str(folder / "base"), "robust": str(folder / "robust")}
    text = SUITE.format(**paths).replace("data, attacks)", "data, attacks[:1], masking=True, transfer=True)")
    (tmp_path / "suite.py").write_text(text)
    assert run(capsys, "evaluate", tmp_path / "suite.py", "--out", tmp_path / "out")[0] == 0
    report = json.loads((tmp_path / "out" / "photos" / "report.json").read_text())
    assert all("one step beats many" in report["models"][name]["masking"] for name in ("base", "robust"))
    attacks = {(row["model"], row["attack"]) for row in report["rows"]}
    assert {("base", "pgd-1-from-robust"), ("robust", "pgd-1-from-base")} <= attacks


@pytest.mark.slow
def test_a_stopped_suite_goes_on_and_its_tables_are_those_of_an_uninterrupted_one(
    folder, capsys, tmp_path, monkeypatch
):
    table = photo_tables.write_photo_table(tmp_path, count=8, side=40)
    paths = {"table": str(table), "base": str(folder / "base"), "robust": str(folder / "robust")}
    (tmp_path / "suite.py").write_text(SUITE.format(**paths))
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert run(capsys, "evaluate", tmp_path / "suite.py", "--out", whole)[0] == 0

    write = ResultFolder.write
    written = []

    def write_three(self, label, *rest):
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(label)
        write(self, label, *rest)

    monkeypatch.setattr(ResultFolder, "write", write_three)
    assert run(capsys, "evaluate", tmp_path / "suite.py", "--out", stopped)[0] == 130

    def write_rest(self, label, *rest):
        written.append(label)
        write(self, label, *rest)

    monkeypatch.setattr(ResultFolder, "write", write_rest)
    assert run(capsys, "evaluate", tmp_path / "suite.py", "--out", stopped)[0] == 0
    assert len(written) == 2 * (4 + 3)
    names = ("report.json", "report.md", "per_image.csv", "tradeoff.png", "timings.json")
    finished = [(stopped / "photos" / name).read_bytes() for name in names]
    assert finished[:4] == [(whole / "photos" / name).read_bytes() for name in names[:4]]
    assert run(capsys, "evaluate", tmp_path / "suite.py", "--out", stopped)[0] == 0
    assert len(written) == 2 * (4 + 3)  # attacks; pattern, clean scores, scores of all photos
    assert finished == [(stopped / "photos" / name).read_bytes() for name in names]
    rows = json.loads(finished[0])["rows"]
    assert [(row["attack"], row["eps"]) for row in rows[:4]] == [
        ("pgd-1", 0.01), ("pgd-1", 0.02), (rows[2]["attack"], 0.02), ("quantise", None),
    ]  # fmt: skip
    assert rows[2]["attack"].startswith("uap")


def test_a_suites_mistakes_are_one_line(folder, capsys, tmp_path):
    (tmp_path / "suite.py").write_text(SUITE.format(table="t.csv", base="b", robust="r").replace('"pgd"', '"pdg"'))
    status, _, error = run(capsys, "evaluate", tmp_path / "suite.py")
    assert status == 2 or status == 1
    assert "unknown attack 'pdg'" in error
    status, _, error = run(capsys, "evaluate", folder / "base", "--out", tmp_path, "--data", tmp_path / "no.csv")
    assert "no such label table" in error
    (tmp_path / "suite.py").write_text(SUITE.format(table="t.csv", base="b", robust="r"))
    status, _, error = run(capsys, "evaluate", tmp_path / "suite.py", "--seed", 3)
    assert "--out, --devices and --parquet are its only options" in error


@pytest.mark.slow
def test_evaluate_with_suite_and_masking_feeds_the_comparison(folder, capsys, tmp_path):
    table = photo_tables.write_photo_table(tmp_path, count=8, side=40)
    status, _, _ = run(
        capsys, "evaluate", folder / "base", folder / "robust", "--data", table, "--steps", 1, "--eps", 0.01, 0.02,
        "--attack-photos", 2, "--suite", "--masking", "--out", tmp_path / "report",
    )  # fmt: skip
    assert status == 0
    report = tmp_path / "report"
    status, out, _ = run(capsys, "compare", f"{report}:base", f"{report}:robust", "--out", tmp_path / "figure.png")
    assert status == 0
    assert out.startswith("Under suite-20 (the strongest attack that both met; eps 0.01, 0.02)")
    assert "base: " in out
    assert "no checks for masked gradients" not in out


@pytest.mark.parametrize(
    "command", ["quickstart", "study", "train clive_lite0", "evaluate", "prune", "attack", "score", "report", "compare"]
)
def test_help_shows_an_example(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*command.split(), "--help"])
    assert stop.value.code == 0
    assert f"riqa {command.split()[0]}" in capsys.readouterr().out


def damage(path, kind):
    if kind == "truncated":
        path.write_bytes(path.read_bytes()[:-500])
    elif kind == "not json":
        path.write_text("{")
    else:
        tensors = load_file(path)
        name = sorted(tensors)[0]
        tensors[name] = {"nan": np.full_like(tensors[name], np.nan), "shape": np.zeros(3, np.float32)}[kind]
        save_file(tensors, path)


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("truncated", "model.safetensors", "damaged or truncated"),
        ("not json", "model.json", "not a readable model description"),
        ("nan", "model.safetensors", "1 tensors with values that no model can have"),
        ("shape", "model.safetensors", "1 tensors wrong shape"),
    ],
)
def test_a_damaged_checkpoint_is_named(kind, name, message, folder, capsys, tmp_path):
    for part in ("model.json", "model.safetensors"):
        (tmp_path / part).write_bytes((folder / "base" / part).read_bytes())
    damage(tmp_path / name, kind)
    status, _, err = run(capsys, "score", folder / "cat.png", "--checkpoint", tmp_path)
    assert status == 1
    assert message in err
    assert name in err
    assert len(err.strip().splitlines()) == 1
