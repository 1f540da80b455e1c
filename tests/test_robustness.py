"""Robustness metrics on scores made by hand, and on the authors' committed per-image results."""

import csv

import numpy as np
import pytest

from robust_iqa_jax.evaluation.robustness import RAW, Scale, abs_gain, auc_over_eps, r_score

CLEAN = np.array([10.0, 30.0, 50.0])
ATTACKED = np.array([14.0, 30.0, 44.0])


def test_gains_by_hand():
    own, baseline = Scale.of(CLEAN, "own"), Scale(0.0, 100.0, "baseline")
    assert abs_gain(CLEAN, ATTACKED, RAW) == pytest.approx((4 + 0 - 6) / 3)
    assert abs_gain(CLEAN, ATTACKED, own) == pytest.approx((0.1 + 0 - 0.15) / 3)
    assert abs_gain(CLEAN, ATTACKED, baseline) == pytest.approx((0.04 + 0 - 0.06) / 3)


def test_r_score_by_hand():
    own = Scale.of(CLEAN, "own")
    expected = np.mean(np.log10([1 / (0.1 + 1e-6), 0.5 / 1e-6, 1 / (0.15 + 1e-6)]))
    assert r_score(CLEAN, ATTACKED, own) == pytest.approx(expected)
    moved = np.array([14.0, 31.0, 44.0])
    highest = (44 - 10) / 40
    terms = [max(highest - 0.1, 0) / 0.1, max(highest - 0.525, 0.5) / 0.025, max(0, 1) / 0.15]
    assert r_score(CLEAN, moved, own, "a-kon") == pytest.approx(np.mean(np.log10(terms)))
    with pytest.raises(ValueError, match="an image kept its score"):
        r_score(CLEAN, ATTACKED, own, "a-kon")
    with pytest.raises(ValueError, match="unknown form 'x'"):
        r_score(CLEAN, ATTACKED, own, "x")  # pyright: ignore[reportArgumentType]


def test_area_is_in_pixel_units():
    assert auc_over_eps([0.0, 0.1, 0.3], [1.0, 3.0, 5.0]) == pytest.approx(0.2 + 0.8)
    with pytest.raises(ValueError, match="increasing"):
        auc_over_eps([0.2, 0.1], [1.0, 1.0])


def test_scores_without_a_range_have_no_scale():
    with pytest.raises(ValueError, match="all clean scores equal 3"):
        Scale.of(np.full(4, 3.0), "own")


def columns(path):
    with path.open() as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0] if name != "image_name"}


def gains(table, scale):
    names = [name for name in table if name.startswith("attacked_val")]
    return [abs_gain(table["clear_val"], table[name], scale) for name in names]


def test_raw_gains_of_the_authors_baseline_equal_the_published_ones(shared_data):
    # REFERENCE 6.5: mean raw gains on 1,000 NIPS images, eps 2..10
    for steps, published in ((1, [13.38, 10.36, 6.72, 3.42, 0.49]), (8, [55.4, 57.9, 52.3, 45.2, 38.6])):
        table = columns(shared_data / "authors_results" / f"NIPS_resnet101+relu_PGD={steps}.csv")
        np.testing.assert_allclose(gains(table, RAW), published, atol=0.06)


def test_range_compression_of_the_authors_defended_model(shared_data):
    # REFERENCE 5: PGD-1 at eps 2, baseline .225; defended .251 on its own range but .088 on the baseline's
    folder = shared_data / "authors_results"
    base = columns(folder / "NIPS_resnet101+relu_PGD=1.csv")
    ours = columns(folder / "NIPS_resnet101+cayley_pool+0.1_l2+relu_PGD=1.csv")
    baseline = Scale.of(base["clear_val"], "baseline")
    assert gains(base, baseline)[0] == pytest.approx(0.225, abs=1e-3)
    assert gains(ours, Scale.of(ours["clear_val"], "own"))[0] == pytest.approx(0.251, abs=1e-3)
    assert gains(ours, baseline)[0] == pytest.approx(0.088, abs=1e-3)
