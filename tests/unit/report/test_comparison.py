"""Two models compared: effects, intervals and the paragraph against plain numpy and scipy; the command's mistakes."""

import dataclasses
import json

import numpy as np
import pytest
from scipy import stats
from small_report import HOSTILE, small_report

from robust_iqa_jax.cli import main
from robust_iqa_jax.report.comparison import (
    EvaluatedModel,
    against_baselines,
    compare,
    paragraph,
    strongest,
    worth,
)
from robust_iqa_jax.report.files import Report, write_report
from robust_iqa_jax.report.tables import tables

REPORT = small_report()


def evaluated(model, report=REPORT):
    return EvaluatedModel(report, model, model)


def scores(model, attack):
    """(sizes, photos) of clean and attacked scores."""
    rows = [row for row in REPORT.per_image if (row["model"], row["attack"]) == (model, attack)]
    shape = (len({row["eps"] for row in rows}), -1)
    return (np.array([row[name] for row in rows]).reshape(shape) for name in ("clean", "attacked"))


@pytest.mark.parametrize("attack", ["pgd-1", "suite-20", "stadv-10"])
def test_effects_and_intervals_equal_scipy_on_the_scores(attack):
    comparison = {c.attack: c for c in compare(evaluated("base"), evaluated(HOSTILE))}[attack]
    own, baseline = comparison.own, comparison.baseline
    gains, widths = [], []
    for model in ("base", HOSTILE):
        clean, attacked = scores(model, attack)
        gains.append((attacked - clean).mean(0))
        widths.append(np.ptp(clean[0]))
    np.testing.assert_allclose(
        (own.first, own.second), [g.mean() / w for g, w in zip(gains, widths, strict=True)], rtol=1e-12
    )
    np.testing.assert_allclose((baseline.first, baseline.second), [g.mean() / widths[0] for g in gains], rtol=1e-12)
    for interval, width in ((own.interval, widths[1]), (baseline.interval, widths[0])):
        difference = gains[1] / width - gains[0] / widths[0]
        drawn = stats.bootstrap((difference,), np.mean, n_resamples=20000, method="percentile", rng=1)
        # two sets of draws: 2000 of them place an end of a 95 % interval to about a twentieth of its width
        np.testing.assert_allclose(interval, drawn.confidence_interval, atol=0.1 * np.ptp(drawn.confidence_interval))
    assert own.more_robust == baseline.more_robust == "second"
    swapped = {c.attack: c for c in compare(evaluated(HOSTILE), evaluated("base"))}[attack]
    assert swapped.own.more_robust == swapped.baseline.more_robust == "first"


def test_attacks_that_lower_scores_are_compared_as_those_that_raise_them_by_as_much():
    rows = [
        {**row, "attack": "pgd-1-lower", **{name: -row[name] for name in row if name.startswith("abs_gain")}}
        for row in REPORT.rows
        if row["attack"] == "pgd-1"
    ]
    per_image = [
        {**row, "attack": "pgd-1-lower", "attacked": 2 * row["clean"] - row["attacked"]}
        for row in REPORT.per_image
        if row["attack"] == "pgd-1"
    ]
    report = dataclasses.replace(REPORT, rows=rows, per_image=per_image)
    (lowered,) = compare(evaluated("base", report), evaluated(HOSTILE, report))
    raised = {c.attack: c for c in compare(evaluated("base"), evaluated(HOSTILE))}["pgd-1"]
    for found, expected in ((lowered.own, raised.own), (lowered.baseline, raised.baseline)):
        np.testing.assert_allclose(found.interval, expected.interval, rtol=1e-12)
        assert found.more_robust == expected.more_robust == "second"


def test_attacks_that_push_both_ways_are_left_out():
    assert [c.attack for c in compare(evaluated("base"), evaluated("robust"))] == ["pgd-1", "suite-20", "stadv-10"]


def test_the_suite_counts_and_a_mere_rescaling_wins_only_on_the_baselines_range():
    a, b = evaluated("base"), evaluated("robust")
    comparisons = compare(a, b)
    strong = strongest(comparisons)
    assert strong.attack == "suite-20"
    assert (strong.own.more_robust, strong.baseline.more_robust) == (None, "second")
    text = paragraph(a, b, comparisons)
    assert "on their own score ranges neither model is shown to be more robust" in text
    assert "on one range, that of base, robust is" in text
    assert "The clean scores of robust span 50 % of the range of those of base." in text
    assert "robust under 0 of 3 attacks" in text
    assert text.endswith("The reports hold no checks for masked gradients.")


def test_the_strongest_attack_counts_where_there_is_no_suite():
    rows = [row for row in REPORT.rows if row["attack"] != "suite-20"]
    report = Report(rows, REPORT.models, REPORT.per_image)
    a, b = evaluated("base", report), evaluated(HOSTILE, report)
    comparisons = compare(a, b)
    assert strongest(comparisons).attack == "pgd-1"
    assert "an attack suite is not in both" in paragraph(a, b, comparisons)


def test_a_verdict_that_turns_round_on_the_baselines_range_is_called_so():
    """The second model: four times narrower range, twice the gain on it, half of it in points."""
    rows = [dict(REPORT.rows[0], eps=0.1, abs_gain_raw=40.0), dict(REPORT.rows[0], eps=0.1, abs_gain_raw=20.0)]
    rows[1]["model"] = "narrow"
    facts = {"clean_low": 0.0, "clean_high": 100.0, "clean_range_of_baseline": 1.0, "srocc": None}
    narrow = {**facts, "clean_high": 25.0, "clean_range_of_baseline": 0.25}
    report = Report(rows, {"base": facts, "narrow": narrow}, [])
    a, b = evaluated("base", report), evaluated("narrow", report)
    (comparison,) = compare(a, b)
    own, baseline = comparison.own, comparison.baseline
    assert (own.first, own.second, own.difference) == pytest.approx((0.4, 0.8, 0.4))
    assert (baseline.first, baseline.second, baseline.difference) == pytest.approx((0.4, 0.2, -0.2))
    text = paragraph(a, b, [comparison])
    assert "base is more robust on the models' own score ranges" in text
    assert "this turns round (0.400 against 0.200)" in text
    assert "there is no interval" in text


def test_a_report_tests_every_defence_against_its_own_baseline():
    comparisons = against_baselines(REPORT)
    assert {model for model, _ in comparisons} == {"robust", HOSTILE}
    (table,) = (table for table in tables(REPORT) if table.key == "paired")
    lines = {(line[0], line[2]): line for line in table.rows}
    for (model, attack), comparison in comparisons.items():
        same = {c.attack: c for c in compare(evaluated("base"), evaluated(model))}[attack]
        assert comparison == same
        own, baseline = same.own.second - same.own.first, same.baseline.second - same.baseline.first
        own_shown, shown = ("neither", "more robust") if model == "robust" else ("more robust", "more robust")
        assert lines[model, attack][3:] == (
            12, own, *same.own.interval, own_shown, baseline, *same.baseline.interval, shown,
        )  # fmt: skip
    text = {sentence.split(":")[0]: sentence for sentence in worth(REPORT)}
    open_ = "On its own range the difference may be chance: the 12 photos leave it open (95 %)."
    assert text["robust under pgd-1"].endswith(open_)
    assert "chance" not in text[f"{HOSTILE} under pgd-1"]
    models = {name: {**facts, "baseline": name} for name, facts in REPORT.models.items()}
    assert against_baselines(dataclasses.replace(REPORT, models=models)) == {}
    without = dataclasses.replace(REPORT, per_image=[])
    assert not any("chance" in sentence for sentence in worth(without))
    assert not any(table.key == "paired" for table in tables(without))


def test_a_score_that_is_not_finite_leaves_no_interval():
    last = max(i for i, row in enumerate(REPORT.per_image) if row["attack"] == "pgd-1" and row["model"] == "robust")
    rows = [{**row, "attacked": np.nan} if i == last else row for i, row in enumerate(REPORT.per_image)]
    comparisons = against_baselines(dataclasses.replace(REPORT, per_image=rows))
    without = {case for case, comparison in comparisons.items() if comparison.own.interval is None}
    assert without == {case for case, comparison in comparisons.items() if comparison.photos == 0}
    assert without == {("robust", "pgd-1")}


def test_photos_are_paired_by_their_names_and_not_by_their_places():
    mine = [row for row in REPORT.per_image if row["model"] == "base"]
    others = [row for row in REPORT.per_image if row["model"] != "base"]
    turned = dataclasses.replace(REPORT, per_image=[*mine, *reversed(others)])
    assert compare(evaluated("base", turned), evaluated(HOSTILE, turned)) == compare(
        evaluated("base"), evaluated(HOSTILE)
    )


def test_masking_checks_are_told():
    checks = {"dead gradients": {"suspicious": False}, "one step beats many": {"suspicious": True}}
    models = {name: {**facts, "masking": checks} for name, facts in REPORT.models.items()}
    models["base"]["masking"] = {"dead gradients": {"suspicious": False}}
    report = dataclasses.replace(REPORT, models=models)
    a, b = evaluated("base", report), evaluated("robust", report)
    text = paragraph(a, b, compare(a, b))
    assert "base: 1 checks for masked gradients found nothing." in text
    assert "robust: signs of masked gradients (one step beats many)" in text


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    write_report(folder / "all", REPORT)
    for name in ("base", "robust"):
        rows = [row for row in REPORT.rows if row["model"] == name]
        images = [row for row in REPORT.per_image if row["model"] == name]
        write_report(folder / name, Report(rows, {name: REPORT.models[name]}, images))
    change = [row for row in REPORT.rows if row["model"] == "base" and row["attack"] == "pgd-8-change"]
    write_report(folder / "change", Report(change, {"base": REPORT.models["base"]}, []))
    return folder


def test_compare_says_the_same_of_two_folders_and_of_one(folder, capsys):
    texts = []
    for args in ((f"{folder}/all:base", f"{folder}/all:robust"), (f"{folder}/base", f"{folder}/robust")):
        assert main(["compare", *args, "--json", "--out", str(folder / "figure.png")]) == 0
        texts.append(json.loads(capsys.readouterr().out))
        assert (folder / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert texts[0] == texts[1]
    assert texts[0]["models"] == ["base", "robust"]
    assert main(["compare", *args, "--out", str(folder / "figure.png")]) == 0
    assert texts[0]["paragraph"] in capsys.readouterr().out


@pytest.mark.parametrize(
    ("a", "b", "status", "message"),
    [
        ("all", "base", 2, "all has several models; give all:MODEL with one of base, robust"),
        ("all:best", "base", 2, "all: unknown model 'best'; did you mean"),
        ("base", "base", 2, "base twice; give two models"),
        ("absent", "base", 1, "absent: no report.json there"),
        ("absent:base", "base", 1, "absent: no report.json there"),
        ("change", "robust", 1, "base and robust have no attack and size in common that pushes scores one way"),
    ],
)
def test_a_users_mistake_is_one_line(a, b, status, message, folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    assert main(["compare", a, b]) == status
    err = capsys.readouterr().err
    assert message in err
    assert len(err.strip().splitlines()) == 1
