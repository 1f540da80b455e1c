"""A study: which runs it has and what they share; one command from photos to the page."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import photo_tables
import pytest
import tiny_backbone

from robust_iqa_jax.benchmarks import clive_folds
from robust_iqa_jax.cli import main
from robust_iqa_jax.commands.config_file import load_config
from robust_iqa_jax.models.registry import build
from robust_iqa_jax.report.comparison import against_baselines
from robust_iqa_jax.report.files import read_report
from robust_iqa_jax.report.findings import compressions, undefended
from robust_iqa_jax.study import StudyConfig, evaluation, variants
from robust_iqa_jax.training.run import resolve

KEYS = ("model", "attack", "eps")
STUDIES = (
    "quickstart",
    "clive_study",
    "clive_reduced",
    "clive_variants",
    "architecture_question",
    "construction_question",
)


@pytest.mark.parametrize("name", STUDIES)
def test_runs_of_a_shipped_study_fit_together(name):
    study = load_config(name, StudyConfig)
    runs = variants(study, Path("runs"))
    suite = evaluation(study, Path("runs"))
    assert list(suite.models) == list(runs)
    assert list(runs)[: 2 + len(study.prunings)] == ["base", "with-block", *study.prunings]
    for run in runs.values():
        resolve(run, np.arange(700))
        assert run.name == run.workdir.name
        assert (run.model.block is not None) == ("with-block" in run.name)
    same = {"name", "model", "workdir", "block_start", "cache_frozen"}
    fine_tuned = {"prune", "prune_method", "start_from", "epochs", "steps", "learning_rate"}
    defended = {"gradient_norm", "adversarial", "consistency", "prune", "start_from", "head_epochs"}
    for run in runs.values():
        differs = {f.name for f in dataclasses.fields(run) if getattr(run, f.name) != getattr(runs["base"], f.name)}
        own = fine_tuned if run.name in study.prunings else defended if run.name in study.defenses else set()
        assert differs <= same | own


def test_the_reduced_study_has_the_published_positions_and_three_models_with_their_own_baselines():
    study = load_config("clive_reduced", StudyConfig)
    runs = variants(study)
    places = {name: run.model.block.at for name, run in runs.items() if run.model.block and "lite" not in name}
    assert places == {
        "with-block": "stage5", "with-block-pruned": "stage5", "with-block-1": "input", "with-block-2": "stem",
        "with-block-4": "stage3",
    }  # fmt: skip
    models = {name: {"baseline": evaluation(study, Path()).baselines.get(name)} for name in runs}
    assert undefended(models) == {
        **dict.fromkeys(("base", *places), "base"),
        **{name: name[:5] for name in ("lite1", "lite1-with-block", "lite2", "lite2-with-block")},
    }
    assert {build(run.model).backbone.variant for run in runs.values()} == {"lite0", "lite1", "lite2"}


def test_the_variants_are_those_of_the_published_table():
    runs = variants(load_config("clive_variants", StudyConfig), Path("runs"))
    assert {run.prune_method for run in runs.values() if run.prune} == {"l1", "l2", "pls", "displs", "hsic"}
    kinds = {
        name: (run.gradient_norm is not None, run.adversarial is not None, run.model.block is not None)
        for name, run in runs.items()
        if not run.prune
    }
    assert kinds == {
        "base": (False, False, False), "with-block": (False, False, True), "nt": (True, False, False),
        "at": (False, True, False), "with-block-nt": (True, False, True),
    }  # fmt: skip
    assert {name: run.start_from for name, run in runs.items() if run.start_from and not run.prune} == {
        "at": runs["base"].workdir
    }
    assert not any(run.cache_frozen for run in runs.values()), "the seconds of their steps are compared"


STUDY = """
from robust_iqa_jax.defenses.adversarial_training import AdversarialConfig
from robust_iqa_jax.defenses.gradient_norm import GradientNormConfig
from robust_iqa_jax.evaluation.suite import SuiteAttack
from robust_iqa_jax.models.spec import BlockSpec, ModelSpec
from robust_iqa_jax.study import Defense, StudyConfig
from robust_iqa_jax.training.config import TrainConfig

SPEC = ModelSpec(backbone="tiny", taps=("first", "second"), input_size=(32, 32))

def get_config():
    base = TrainConfig(model=SPEC, data={table!r}, steps=2, batch_size=4)
    attacks = (SuiteAttack("pgd", (0.01, 0.02), {{"steps": 1}}), SuiteAttack("quantise"))
    return StudyConfig(base, BlockSpec("second", 4), attacks=attacks, attack_photos=3, {more})
"""


def run(tmp_path, more):
    table = photo_tables.write_photo_table(tmp_path, count=12, side=40)
    (tmp_path / "study.py").write_text(STUDY.format(table=str(table), more=more))
    with tiny_backbone.registered():
        assert main(["study", str(tmp_path / "study.py"), "--out", str(tmp_path / "out")]) == 0
    return json.loads((tmp_path / "out" / "report.json").read_text())


@pytest.mark.slow
@pytest.mark.usefixtures("hardly_optimised")
def test_one_command_trains_attacks_and_writes_the_page(tmp_path, capsys):
    report = run(tmp_path, "prunings={}")
    assert list(report["models"]) == ["base", "with-block"]
    assert [(row["model"], row["attack"]) for row in report["rows"]][::3] == [
        ("base", "pgd-1"),
        ("with-block", "pgd-1"),
    ]
    assert {facts["train_seconds"] > 0 for facts in report["models"].values()} == {True}
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("data:image/jpeg;base64") >= 3
    assert "training on 6 photos, labels: mos; 6 test photos" in capsys.readouterr().out
    before = (tmp_path / "out" / "report.json").read_bytes()
    run(tmp_path, "prunings={}")
    assert (tmp_path / "out" / "report.json").read_bytes() == before


@pytest.mark.slow
@pytest.mark.usefixtures("hardly_optimised")
def test_positions_and_other_models_are_measured_against_their_own_baselines(tmp_path):
    report = run(tmp_path, 'positions={"1": BlockSpec("first", 4)}, others={"other": SPEC}, fine_tune_rate=1e-4')
    assert list(report["models"]) == [
        "base",
        "with-block",
        "with-block-pruned",
        "with-block-1",
        "other",
        "other-with-block",
    ]
    pairs = {model for model, _ in compressions(read_report(tmp_path / "out")[0])}
    assert pairs == {"with-block", "with-block-pruned", "with-block-1", "other-with-block"}
    columns, rows = (report["findings"]["compression"][key] for key in ("columns", "rows"))
    for row in rows:
        assert row[columns.index("baseline")] == ("other" if row[0] == "other-with-block" else "base")
    for name in ("base", "with-block-1", "other"):
        facts = report["models"][name]
        baseline = report["models"][facts["baseline"]]
        share = (facts["clean_high"] - facts["clean_low"]) / (baseline["clean_high"] - baseline["clean_low"])
        assert facts["clean_range_of_baseline"] == pytest.approx(share)


@pytest.mark.slow
@pytest.mark.usefixtures("hardly_optimised")
def test_folds_of_a_study_are_averaged(tmp_path):
    table = photo_tables.write_photo_table(tmp_path, count=12, side=40)
    defenses = 'prunings={}, defenses={"at": Defense(adversarial=AdversarialConfig(), from_trained=True)}'
    (tmp_path / "study.py").write_text(STUDY.format(table=str(table), more=defenses))
    args = clive_folds.Args(
        str(table), str(tmp_path / "study.py"), tmp_path / "out", tmp_path / "results", folds=("train", "test")
    )
    with tiny_backbone.registered():
        clive_folds.main(args)
    reports = [json.loads((args.out / fold / "report.json").read_text()) for fold in args.folds]
    mean = clive_folds.mean_report([read_report(args.out / fold)[0] for fold in args.folds])
    for name, facts in mean.models.items():
        each = [report["models"][name]["plcc"] for report in reports]
        assert facts["plcc"] == pytest.approx(sum(each) / 2)
    photos = sum(report["rows"][0]["n"] for report in reports)
    assert {comparison.photos for comparison in against_baselines(mean).values()} == {photos}
    for i, row in enumerate(mean.rows):
        assert (row["model"], row["attack"], row["eps"]) == tuple(reports[0]["rows"][i][key] for key in KEYS)
        each = [report["rows"][i]["abs_gain_raw"] for report in reports]
        assert row["abs_gain_raw"] == pytest.approx(sum(each) / 2)
    (page,) = (tmp_path / "results").glob("*.md")
    costs = [line for line in page.read_text().splitlines() if line.startswith("| base | ") and "| 1.00 |" in line]
    assert len(costs) == 1, "the base costs as much as itself, in one table"
    assert len(list((tmp_path / "results").glob("*.png"))) == 1
