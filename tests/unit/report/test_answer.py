"""The first lines of a report: worst cases against plain numpy, and which model they send a reader to."""

import dataclasses

import numpy as np
import pytest
from scipy import stats
from small_report import EPS, HOSTILE, small_report

from robust_iqa_jax.report import answer
from robust_iqa_jax.report.answer import (
    OPEN,
    answer_table,
    decisive,
    recommendation,
    shown_better,
    verdict,
    worst_cases,
)
from robust_iqa_jax.report.files import Report
from robust_iqa_jax.report.types import ModelFacts

REPORT = small_report()


def only(*models: str, **facts: dict) -> Report:
    """The report of some of its models, with more facts about them."""
    return dataclasses.replace(
        REPORT,
        rows=[row for row in REPORT.rows if row["model"] in models],
        models={name: ModelFacts(**{**REPORT.models[name], **facts.get(name, {})}) for name in models},
        per_image=[row for row in REPORT.per_image if row["model"] in models],
    )


def test_the_worst_case_is_the_largest_mean_change_of_a_one_way_attack():
    found = worst_cases(REPORT)
    for model in REPORT.models:
        mine = [row for row in REPORT.per_image if row["model"] == model]
        clean = np.array([row["clean"] for row in mine if row["attack"] == "suite-20"])
        moved = np.array([row["attacked"] - row["clean"] for row in mine if row["attack"] == "suite-20"])
        case = found[model]
        assert (case.attack, case.eps) == ("suite-20", EPS[1])
        assert case.points == pytest.approx(moved.mean())
        assert case.own == pytest.approx(abs(moved.mean()) / np.ptp(clean))
        low, high = case.interval
        assert low < case.own < high
        assert np.abs(moved).min() / np.ptp(clean) <= low
        assert high <= np.abs(moved).max() / np.ptp(clean)
        furthest = {}
        for row in mine:
            gain = row["attacked"] - row["clean"]
            if row["attack"] != "pgd-8-change" and abs(gain) > abs(furthest.get(row["image"], (0.0, 0.0, 0.0))[0]):
                furthest[row["image"]] = gain, row["attacked"], row["mos"]
        _, attacked, mos = zip(*furthest.values(), strict=True)
        assert case.srocc == pytest.approx(stats.spearmanr(attacked, mos).statistic)


def test_lowering_counts_like_raising():
    rows = [{**row, "abs_gain": -row["abs_gain"], "abs_gain_raw": -row["abs_gain_raw"]} for row in REPORT.rows]
    lowered = [{**row, "attacked": 2 * row["clean"] - row["attacked"]} for row in REPORT.per_image]
    mirrored = worst_cases(dataclasses.replace(REPORT, rows=rows, per_image=lowered))
    for model, case in worst_cases(REPORT).items():
        assert mirrored[model].own == case.own
        assert mirrored[model].points == -case.points
        np.testing.assert_allclose(mirrored[model].interval, case.interval)


@pytest.mark.parametrize(
    ("own", "words"),
    [(0.1, "hard to push"), (0.11, "can be pushed a little"), (0.3, "easy to push"), (0.51, OPEN)],
)
def test_verdicts_follow_the_gain_on_the_own_range(own, words):
    case = dataclasses.replace(worst_cases(REPORT)["base"], own=own)
    assert verdict(case, REPORT.models["base"]) == words


def test_a_smaller_range_is_no_reason_to_use_a_model():
    assert list(shown_better(REPORT)) == [HOSTILE]  # "robust" is the base with half its range
    assert shown_better(only("base", "robust")) == {}
    assert recommendation(only("base", "robust"))[0].startswith("No model here is shown to be more robust")


def test_the_model_that_holds_on_both_ranges_is_named_first():
    first = recommendation(REPORT)[0]
    case = worst_cases(REPORT)[HOSTILE]
    assert first.startswith(f"Where anybody gains by a high score, use {HOSTILE}, which ")
    assert f"{case.own:.3f}" in first
    assert f"{worst_cases(REPORT)['base'].own:.3f}" in first


def test_a_better_model_that_goes_where_an_attacker_wants_is_not_recommended(monkeypatch):
    monkeypatch.setattr(answer, "SAFETY", ())  # nothing is safe enough
    first = recommendation(REPORT)[0]
    assert f"none of them is safe to use; the least unsafe is {HOSTILE}, which {OPEN}" in first


def test_signs_of_masked_gradients_take_a_model_out():
    found = {"zero gradients": {"suspicious": True, "value": 1.0, "limit": 0.0, "meaning": ""}}
    masked = only("base", HOSTILE, **{HOSTILE: {"masking": found}})
    assert shown_better(masked) == {}
    words = {row[0]: row[1] for row in answer_table(masked).rows}
    assert words[HOSTILE] == "not known: signs of masked gradients"


def test_a_single_model_is_described_and_an_attacked_none_is_not():
    assert recommendation(only("base"))[0].startswith(f"base {OPEN}: at worst (suite-20 at 4/255)")
    bare = dataclasses.replace(REPORT, rows=[], per_image=[])
    assert recommendation(bare) == []
    assert {row[1] for row in answer_table(bare).rows} == {"not attacked"}


def test_a_suite_is_drawn_first():
    assert decisive(REPORT) == ["suite-20", "pgd-1", "stadv-10"]
