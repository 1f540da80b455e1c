"""Evaluation of a small score function: rows equal what the metrics give on scores computed directly."""

import csv
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import robust_iqa_jax as riqa
from robust_iqa_jax.evaluation.evaluate import merge
from robust_iqa_jax.metrics import accuracy
from robust_iqa_jax.metrics.robustness import RAW, Scale, abs_gain, auc_over_eps, r_score
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
