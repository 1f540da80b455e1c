"""Models behind defences in a report: blind and adaptive attacks side by side, adaptive ones in all other tables."""

import jax
import numpy as np
import pytest
from quick_models import quick_jit
from tiny_checkpoint import SPEC

from robust_iqa_jax.attacks.eot import EOT
from robust_iqa_jax.attacks.gradient import PGD
from robust_iqa_jax.attacks.transfer import Transfer
from robust_iqa_jax.data.photo_set import evenly_spread
from robust_iqa_jax.defenses.purification import parse_defense
from robust_iqa_jax.evaluation.results import ResultFolder
from robust_iqa_jax.models.registry import init
from robust_iqa_jax.models.scorer import Calibration, Scorer
from robust_iqa_jax.report.files import read_report, write_report
from robust_iqa_jax.report.photos import Inference, evaluate_photos, pixels
from robust_iqa_jax.report.tables import defended, gains, transfers
from robust_iqa_jax.report.types import AttackKind

pytestmark = pytest.mark.usefixtures("hardly_optimised")
ATTACKS = [PGD(eps, 2) for eps in (0.02, 0.05)]
DEFENSES = [parse_defense("bits:2"), parse_defense("noise:0.2")]


@pytest.fixture(scope="module")
def scorer(tiny_photos):
    return Scorer(quick_jit(init, static_argnums=0)(SPEC, jax.random.key(0)), Calibration.identity(), SPEC)


@pytest.fixture(scope="module")
def report(scorer, tiny_photos, tmp_path_factory):
    return evaluate_photos(
        {"base": scorer},
        tiny_photos,
        lambda _: ATTACKS,
        attack_photos=4,
        inference=Inference(DEFENSES, adaptive=True, samples=3),
        results=ResultFolder(tmp_path_factory.mktemp("cells")),
    )


def test_each_defence_is_a_model_more(report):
    assert list(report.models) == ["base", "base+bits-2", "base+noise-0.2"]
    assert [facts.get("defends") for facts in report.models.values()] == [None, "base", "base"]
    assert {facts["baseline"] for facts in report.models.values()} == {"base"}
    attacks = [[row["attack"] for row in report.rows if row["model"] == model] for model in report.models]
    assert attacks == [["pgd-2"] * 2, *2 * [["pgd-2-blind"] * 2 + ["pgd-2"] * 2]]


def test_scores_are_those_of_the_attacks_by_hand(report, scorer, tiny_photos):
    """Blind: made on the bare model; adaptive: through the defence, on the mean over the draws where it draws."""
    photos = tiny_photos.subset(evenly_spread(len(tiny_photos), 4))
    images, prepared = pixels(photos, SPEC.input_size), scorer.prepare()
    for defense, through in zip(DEFENSES, (ATTACKS[1], EOT(ATTACKS[1], 3)), strict=True):
        model = defense.on(prepared)
        for name, attack in (("pgd-2-blind", Transfer(ATTACKS[1], prepared)), ("pgd-2", through)):
            wanted = model(attack(model, 0, images))
            case = (f"base+{defense.name}", name, 0.05)
            rows = [row for row in report.per_image if (row["model"], row["attack"], row["eps"]) == case]
            np.testing.assert_allclose([row["attacked"] for row in rows], wanted, rtol=1e-3, atol=1e-3)
            np.testing.assert_allclose([row["clean"] for row in rows], model(images), rtol=1e-3, atol=1e-4)


def test_both_attacks_stand_side_by_side_and_the_adaptive_one_elsewhere(report):
    table = defended(report)
    assert [column.title for column in table.columns][-6:] == [
        f"{who}, {scaling}" for who in ("blind", "adaptive") for scaling in ("baseline range", "own range", "points")
    ]
    assert len(table.rows) == 2 * 3
    for model, bare, attack, eps, _, *values in table.rows:
        of = {row["attack"]: row for row in report.rows if (row["model"], row["eps"]) == (model, eps)}
        assert (bare, attack) == (None if model == "base" else "base", "pgd-2")
        gain = lambda name, of=of: [of[name][f"abs_gain{scale}"] for scale in ("_baseline_range", "", "_raw")]  # noqa: E731
        assert values == ([None] * 3 if model == "base" else gain("pgd-2-blind")) + gain("pgd-2")
    assert {row[1] for row in gains(report).rows} == {"pgd-2"}
    assert report.one_way_attacks() == ["pgd-2"]


def test_a_report_that_was_written_and_read_knows_which_attacks_were_blind(report, tmp_path):
    write_report(tmp_path, report)
    again, _ = read_report(tmp_path)
    assert again.kind("pgd-2-blind") == AttackKind("PGD", True, blind="pgd-2")
    assert defended(again).rows == defended(report).rows
    assert "## Defences at inference" in (tmp_path / "report.md").read_text()


def test_a_report_without_defences_has_no_such_table(scorer, tiny_photos):
    report = evaluate_photos({"base": scorer}, tiny_photos, lambda _: ATTACKS[:1], attack_photos=2)
    assert not defended(report).rows


def test_progress_counts_every_attack_of_every_model(scorer, tiny_photos):
    calls = []
    inference = Inference(DEFENSES[:1], adaptive=False)
    evaluate_photos(
        {"base": scorer}, tiny_photos, lambda _: ATTACKS[:1], 2, inference=inference,
        on_progress=lambda model, images, total: calls.append((model, images, total)),
    )  # fmt: skip
    assert {total for _, _, total in calls} == {4}
    assert sum(images for _, images, _ in calls) == 4


def test_attacks_made_on_other_models_stand_in_a_table_of_their_own(scorer, tiny_photos, tmp_path):
    other = Scorer(quick_jit(init, static_argnums=0)(SPEC, jax.random.key(1)), Calibration.identity(), SPEC)
    report = evaluate_photos({"base": scorer, "other": other}, tiny_photos, lambda _: ATTACKS[1:], 3, transfer=True)
    assert not defended(report).rows
    assert report.one_way_attacks() == ["pgd-2"]
    assert {row[1] for row in gains(report).rows} == {"pgd-2"}
    assert [row[:4] for row in transfers(report).rows] == [
        ("base", "other", "pgd-2", 0.05), ("other", "base", "pgd-2", 0.05)
    ]  # fmt: skip
    images = pixels(tiny_photos.subset(evenly_spread(len(tiny_photos), 3)), SPEC.input_size)
    moved = other(ATTACKS[1](scorer, 0, images)) - other(images)
    facts = report.models["other"]
    own = float(np.mean(moved)) / (facts["clean_high"] - facts["clean_low"])
    assert transfers(report).rows[0][4] == pytest.approx(own, rel=1e-3)
    itself = next(row for row in report.rows if (row["model"], row["attack"]) == ("other", "pgd-2"))
    assert transfers(report).rows[0][5] == itself["abs_gain"]
    write_report(tmp_path, report)
    again, _ = read_report(tmp_path)
    assert again.kind("pgd-2-from-base") == AttackKind("PGD", True, blind="pgd-2", source="base")
    assert transfers(again).rows == transfers(report).rows
