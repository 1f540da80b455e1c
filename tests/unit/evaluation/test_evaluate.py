"""Evaluation of a small score function: rows equal what the metrics give on scores computed directly."""

import csv
import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flat_mean import FlatMean

import robust_iqa_jax as riqa
from robust_iqa_jax.attacks.objective import Opposite
from robust_iqa_jax.attacks.uap import Universal
from robust_iqa_jax.metrics import accuracy
from robust_iqa_jax.metrics.robustness import RAW, Scale, abs_gain, auc_over_eps, r_score
from robust_iqa_jax.report.comparison import against_baselines, worth
from robust_iqa_jax.report.summarise import merge
from robust_iqa_jax.report.types import AttackKind
from robust_iqa_jax.wording import eps_text

RNG = np.random.default_rng(0)
IMAGES = jnp.asarray(RNG.uniform(0, 1, (5, 8, 9, 3)), jnp.float32)
WEIGHTS = jnp.asarray(RNG.normal(size=(8, 9, 3)), jnp.float32)
MOS = np.array([3.0, 1.0, 4.0, 1.5, 9.0])
KEY = jax.random.key(7)
ATTACKS = [riqa.attacks.pgd(eps=e / 255, steps=n) for n in (1, 8) for e in (2, 4)]


def linear(x):
    return (x * WEIGHTS).sum((1, 2, 3))


def squeezed(x):
    return 0.1 * linear(x)


@pytest.fixture(scope="module")
def report():
    base = riqa.evaluate(linear, IMAGES, attacks=ATTACKS, mos=MOS, key=KEY, batch_size=2, model="base")
    other = riqa.evaluate(
        squeezed, IMAGES, attacks=ATTACKS, mos=MOS, key=KEY, batch_size=3, model="squeezed", baseline=linear
    )
    return merge([base, other])


def test_rows_equal_metrics_of_directly_computed_scores(report):
    clean = np.asarray(linear(IMAGES), np.float64)
    for row, attack in zip(report.rows, ATTACKS, strict=False):
        attacked = np.asarray(linear(attack(linear, KEY, IMAGES)), np.float64)
        own = Scale.of(clean, "own")
        assert (row["model"], row["attack"], row["eps"]) == ("base", attack.name, attack.eps)
        assert row["abs_gain"] == pytest.approx(abs_gain(clean, attacked, own), rel=1e-4)
        assert row["abs_gain_raw"] == pytest.approx(abs_gain(clean, attacked, RAW), rel=1e-4)
        assert row["rscore"] == pytest.approx(r_score(clean, attacked, own), rel=1e-4)
        assert row["srocc"] == pytest.approx(accuracy.srocc(clean, MOS))


def test_a_model_that_only_compresses_its_range_gains_nothing_on_its_own_scale(report):
    base, squeezed_rows = report.rows[:4], report.rows[4:]
    for a, b in zip(base, squeezed_rows, strict=True):
        assert b["abs_gain"] == pytest.approx(a["abs_gain"], rel=1e-3)
        assert b["abs_gain_baseline_range"] == pytest.approx(0.1 * a["abs_gain_baseline_range"], rel=1e-3)
    assert report.models["squeezed"]["clean_range_of_baseline"] == pytest.approx(0.1, rel=1e-4)


def test_per_image_rows_and_areas_agree_with_the_rows(report):
    assert len(report.per_image) == 2 * 4 * 5
    for row in report.rows:
        mine = [r for r in report.per_image if all(r[k] == row[k] for k in ("model", "attack", "eps"))]
        assert np.mean([r["attacked"] - r["clean"] for r in mine]) == pytest.approx(row["abs_gain_raw"])
    line = [row for row in report.rows if row["model"] == "base" and row["attack"] == "pgd-8"]
    area = auc_over_eps([row["eps"] for row in line], [row["abs_gain"] for row in line])
    assert report.models["base"]["auc"]["pgd-8"]["abs_gain"] == pytest.approx(area.value)
    assert report.models["base"]["auc_grid"]["pgd-8"]["eps"] == list(area.eps)


def test_written_files_hold_the_same_numbers(report, tmp_path):
    report.write(tmp_path, title="A title")
    stored = json.loads((tmp_path / "report.json").read_text())
    assert stored["rows"] == json.loads(json.dumps(report.rows))
    assert set(stored["models"]) == {"base", "squeezed"}
    page = (tmp_path / "report.md").read_text()
    assert page.startswith("# A title\n")
    assert f"| squeezed | pgd-8 | 4/255 | {report.rows[-1]['abs_gain_baseline_range']:.4f} |" in page
    assert "its clean scores span 10 % of the baseline's range. More robust" in page
    with (tmp_path / "per_image.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 40
    assert (tmp_path / "tradeoff.png").read_bytes().startswith(b"\x89PNG")
    assert not list(tmp_path.glob("*.tmp"))


def test_without_opinion_scores_accuracy_is_null(tmp_path):
    report = riqa.evaluate(linear, IMAGES, attacks=ATTACKS[:1])
    report.write(tmp_path)
    row = json.loads((tmp_path / "report.json").read_text())["rows"][0]
    assert row["srocc"] is None
    assert row["abs_gain"] == row["abs_gain_baseline_range"] > 0


@pytest.mark.parametrize(("eps", "text"), [(4 / 255, "4/255"), (0.01, "0.01")])
def test_sizes_read_as_grey_levels_where_they_are(eps, text):
    assert eps_text(eps) == text


def test_lengths_that_differ_are_refused():
    with pytest.raises(ValueError, match="2 names for 5 images"):
        riqa.evaluate(linear, IMAGES, attacks=[], names=["a", "b"])


def test_several_models_by_name_are_one_report_on_one_models_range():
    """What one call says of two models is what each alone says on the other's range, and how they compare."""
    models = {"wide": linear, "narrow": squeezed}
    report = riqa.evaluate(models, IMAGES, ATTACKS, mos=MOS, baseline="wide", key=KEY, batch_size=3)
    alone = merge(
        [
            riqa.evaluate(scorer, IMAGES, ATTACKS, mos=MOS, baseline=linear, key=KEY, batch_size=3, model=name)
            for name, scorer in models.items()
        ]
    )
    assert report.rows == alone.rows
    assert report.per_image == alone.per_image
    assert [facts["baseline"] for facts in report.models.values()] == ["wide", "wide"]
    assert report.run["batch_size"] == 3
    compared = against_baselines(report)
    assert {model for model, _ in compared} == {"narrow"}
    assert all(each.photos == 5 for each in compared.values())
    (sentence, _) = worth(report)
    assert sentence.startswith("narrow under pgd-1: the baseline's effect")
    assert "its clean scores span 10 % of the baseline's range." in sentence


def test_the_first_of_several_models_is_the_baseline_unless_another_is_named():
    models = {"wide": linear, "narrow": squeezed}
    first = riqa.evaluate(models, IMAGES, ATTACKS[:1], key=KEY)
    assert [facts["clean_range_of_baseline"] for facts in first.models.values()] == pytest.approx([1, 0.1], rel=1e-4)
    other = riqa.evaluate(models, IMAGES, ATTACKS[:1], key=KEY, baseline={"wide": "narrow", "narrow": "narrow"})
    assert [facts["clean_range_of_baseline"] for facts in other.models.values()] == pytest.approx([10, 1], rel=1e-4)
    with pytest.raises(ValueError, match="baseline 'best' is none of the models wide, narrow"):
        riqa.evaluate(models, IMAGES, ATTACKS[:1], baseline="best")


def test_stored_results_are_those_of_their_model_their_images_and_their_keys(tmp_path):
    """One folder for several evaluations that differ in one thing each: every row is as without a folder."""
    attack = riqa.attacks.pgd(eps=0.02, steps=1)
    models = {"one": FlatMean(jnp.float32(1)), "two": FlatMean(jnp.float32(2))}
    for images, key in ((IMAGES, 0), (IMAGES[::-1], 0), (IMAGES, 1)):
        run = partial(riqa.evaluate, models, images, [attack], key=key)
        assert run(results=tmp_path).per_image == run().per_image
    assert len(list(tmp_path.iterdir())) == 2 * (2 + 3), "clean scores of two sets of images, attacks of three runs"


def test_checks_for_masked_gradients_are_facts_of_the_model():
    report = riqa.evaluate({"base": linear}, IMAGES, [], masking=True)
    findings = report.models["base"]["masking"]
    assert set(findings) >= {"dead gradients", "one step beats many"}
    assert not findings["dead gradients"]["suspicious"]
    assert findings["dead gradients"]["value"] == 0


@pytest.mark.parametrize(
    ("attack", "kind", "one_way"),
    [
        (riqa.attacks.pgd(), "PGD", True),
        (riqa.attacks.pgd(direction="lower"), "PGD", True),
        (riqa.attacks.pgd(direction="change"), "PGD", False),
        (riqa.attacks.mifgsm(direction=Opposite(30.0)), "MIFGSM", False),
        (riqa.attacks.suite(), "AttackSuite", True),
        (Universal(np.zeros((2, 2, 3)), 0.1, "uap-invert"), "Universal", False),
        (riqa.attacks.jpeg(), "JPEG", True),
    ],
)
def test_a_report_knows_an_attack_by_its_settings(attack, kind, one_way):
    assert AttackKind.of(attack) == AttackKind(kind, one_way)


def test_a_report_knows_the_settings_with_which_an_attack_can_be_made_again():
    attack = riqa.attacks.mifgsm(eps=0.1, steps=3, step_size=jnp.float32(0.25), keep_best=True)
    kind = AttackKind.of(attack)
    assert riqa.attacks.mifgsm(eps=0.1, **kind.settings) == attack
    assert json.loads(json.dumps(kind.settings)) == kind.settings
    assert AttackKind.of(riqa.attacks.eot(attack, samples=2)).settings == kind.settings
    assert "pattern" not in AttackKind.of(Universal(np.zeros((2, 2, 3)))).settings


@pytest.mark.parametrize(
    ("name", "kind", "one_way"),
    [("suite-20", "AttackSuite", True), ("uap", "Universal", True), ("pgd-8-change", "pgd", False)],
)
def test_a_report_without_the_attacks_knows_them_by_name(name, kind, one_way):
    assert AttackKind.named(name) == AttackKind(kind, one_way)
