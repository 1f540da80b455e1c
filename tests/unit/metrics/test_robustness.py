"""Robustness metrics on scores made by hand."""

import numpy as np
import pytest

from robust_iqa_jax.metrics.robustness import (
    RAW,
    Scale,
    abs_gain,
    auc_over_eps,
    furthest_scores,
    gains,
    ir_score,
    r_score,
    r_scores,
    relative_gain,
    relative_gains,
)

CLEAN = np.array([10.0, 30.0, 50.0])
ATTACKED = np.array([14.0, 30.0, 44.0])


def test_gains_by_hand():
    own, baseline = Scale.of(CLEAN, "own"), Scale(0.0, 100.0, "baseline")
    assert abs_gain(CLEAN, ATTACKED, RAW) == pytest.approx((4 + 0 - 6) / 3)
    assert abs_gain(CLEAN, ATTACKED, own) == pytest.approx((0.1 + 0 - 0.15) / 3)
    assert abs_gain(CLEAN, ATTACKED, baseline) == pytest.approx((0.04 + 0 - 0.06) / 3)


def test_relative_gains_by_hand():
    own = Scale.of(CLEAN, "own")
    assert relative_gain(CLEAN, ATTACKED, own) == pytest.approx((0.1 / 1 + 0 - 0.15 / 2) / 3, rel=1e-12)
    classic = (4 / (10 + 1e-6) + 0 - 6 / (50 + 1e-6)) / 3
    assert relative_gain(CLEAN, ATTACKED, RAW, "classic") == pytest.approx(classic, rel=1e-12)
    with pytest.raises(ValueError, match="a clean score lies at -1 on the far range"):
        relative_gain(CLEAN, ATTACKED, Scale(50.0, 90.0, "far"))
    with pytest.raises(ValueError, match="unknown form 'x'; choose one of scaled, classic"):
        relative_gain(CLEAN, ATTACKED, own, "x")  # pyright: ignore[reportArgumentType]


def test_r_score_by_hand():
    own = Scale.of(CLEAN, "own")
    expected = np.mean(np.log10([1 / (0.1 + 1e-6), 0.5 / 1e-6, 1 / (0.15 + 1e-6)]))
    assert r_score(CLEAN, ATTACKED, own) == pytest.approx(expected)
    with pytest.raises(ValueError, match="an image kept its score"):
        r_score(CLEAN, ATTACKED, own, "a-kon")
    with pytest.raises(ValueError, match="unknown form 'x'; choose one of msu, a-kon, a-db"):
        r_score(CLEAN, ATTACKED, own, "x")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(("form", "highest"), [("a-kon", 44.0), ("a-db", 50.0)])
@pytest.mark.parametrize("scale", [Scale.of(CLEAN, "own"), Scale(-20.0, 130.0, "baseline")], ids=lambda s: s.name)
def test_the_authors_r_scores_know_no_scale(form, highest, scale):
    moved = np.array([14.0, 31.0, 44.0])
    terms = [(highest - 14) / 4, max(highest - 31, 20) / 1, 40 / 6]
    assert r_score(CLEAN, moved, scale, form) == pytest.approx(np.mean(np.log10(terms)), rel=1e-10)


def test_the_dbcnn_form_is_undefined_for_the_worst_image_raised_above_all():
    with pytest.raises(ValueError, match="r_score a-db: an image could not have moved at all"):
        r_score(CLEAN, np.array([60.0, 31.0, 44.0]), RAW, "a-db")


def test_per_image_values_have_the_metrics_for_their_means():
    own = Scale.of(CLEAN, "own")
    for values, mean in ((gains, abs_gain), (relative_gains, relative_gain), (r_scores, r_score)):
        assert values(CLEAN, ATTACKED, own).shape == (3,)
        assert values(CLEAN, ATTACKED, own).mean() == pytest.approx(mean(CLEAN, ATTACKED, own), rel=1e-12)


def test_area_is_in_pixel_units_and_carries_its_grid():
    area = auc_over_eps([0.0, 0.1, 0.3], [1.0, 3.0, 5.0])
    assert area.value == pytest.approx(0.2 + 0.8)
    assert area.mean == pytest.approx(1.0 / 0.3)
    assert (area.eps, area.spacing) == ((0.0, 0.1, 0.3), None)
    even = auc_over_eps([k / 255 for k in (2, 4, 6, 8, 10)], [1.0] * 5)
    assert (even.value, even.spacing) == pytest.approx((8 / 255, 2 / 255))
    with pytest.raises(ValueError, match="increasing"):
        auc_over_eps([0.2, 0.1], [1.0, 1.0])


def test_ir_score_is_the_area_under_r_scores():
    own = Scale.of(CLEAN, "own")
    attacked = {0.3: CLEAN + 8, 0.1: CLEAN + 4, 0.2: ATTACKED}
    low, middle, high = (np.mean(r_scores(CLEAN, attacked[eps], own)) for eps in (0.1, 0.2, 0.3))
    found = ir_score(CLEAN, attacked, own)
    assert found.value == pytest.approx(0.1 * (low / 2 + middle + high / 2), rel=1e-10)
    assert (found.eps, found.spacing) == ((0.1, 0.2, 0.3), pytest.approx(0.1))


@pytest.mark.parametrize(
    ("attacked", "message"),
    [(ATTACKED[:2], "gain: 3 clean for 2 attacked"), (np.array([1.0, np.nan, 2.0]), "gain: attacked hold NaN")],
)
def test_scores_that_do_not_match_are_refused(attacked, message):
    with pytest.raises(ValueError, match=message):
        abs_gain(CLEAN, attacked, RAW)


def test_scores_without_a_range_have_no_scale():
    with pytest.raises(ValueError, match="all clean scores equal 3"):
        Scale.of(np.full(4, 3.0), "own")


def test_furthest_scores_take_each_image_at_its_worst():
    clean, up, down = np.array([1.0, 2.0, 3.0]), np.array([1.5, 2.5, 9.0]), np.array([0.0, 1.5, 2.0])
    np.testing.assert_array_equal(furthest_scores(clean, up, down), [0.0, 2.5, 9.0])  # the first of two equal ones
    np.testing.assert_array_equal(furthest_scores(clean, down), down)
    with pytest.raises(ValueError, match="one attack or more"):
        furthest_scores(clean)
    with pytest.raises(ValueError, match="3 clean for 2 attacked 2"):
        furthest_scores(clean, up, down[:2])
