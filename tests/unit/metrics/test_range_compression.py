"""The shares and the verdict on scores made by hand, and on the authors' committed NIPS results."""

import numpy as np
import pytest

from robust_iqa_jax.metrics.range_compression import range_compression
from robust_iqa_jax.report.per_image import aligned, by_case
from robust_iqa_jax.report.published import read_authors

CLEAN = np.array([10.0, 30.0, 50.0])
ATTACKED = np.array([20.0, 50.0, 80.0])  # gain 20 of 40 points


@pytest.mark.parametrize(
    ("span", "change", "verdict"),
    [
        (20.0, 5.0, "survives"),  # .25 on its own range, .125 on the baseline's, against .5
        (20.0, -5.0, "survives"),
        (10.0, 6.0, "range compression"),  # .6 and .15
        (80.0, 30.0, "range widening"),  # .375 and .75
        (40.0, 25.0, "no reduction"),
    ],
)
def test_shares_and_verdict_by_hand(span, change, verdict):
    clean = np.array([0.0, span / 3, span])
    found = range_compression(clean, clean + change, CLEAN, ATTACKED)
    baseline, own, shared = 20 / 40, change / span, change / 40
    assert (found.baseline_gain, found.own_gain, found.baseline_range_gain) == pytest.approx((baseline, own, shared))
    assert found.share_of_own_gain == pytest.approx(1 - shared / own, rel=1e-10)
    assert found.share_of_own_gain == pytest.approx(1 - span / 40, rel=1e-10)
    reduction = 0.5 - abs(shared)
    if reduction > 0:
        assert found.share_of_reduction == pytest.approx((abs(own) - abs(shared)) / reduction, rel=1e-10)
    else:
        assert found.share_of_reduction is None
    assert found.verdict == verdict


def test_a_rescaled_baseline_owes_all_of_its_reduction_to_its_range():
    found = range_compression(0.3 * CLEAN + 7, 0.3 * ATTACKED + 7, CLEAN, ATTACKED)
    assert found.own_gain == pytest.approx(found.baseline_gain, rel=1e-12)
    assert found.share_of_reduction == pytest.approx(1, rel=1e-10)
    assert found.share_of_own_gain == pytest.approx(0.7, rel=1e-10)


@pytest.mark.parametrize(
    ("steps", "gains", "share", "verdict"),
    [(1, (0.225, 0.251, 0.088), 1.19, "range compression"), (8, (0.931, 0.825, 0.290), 0.83, "survives")],
)
def test_the_authors_nips_results(shared_data, steps, gains, share, verdict):
    # sources.md 5, eps 2: the reduction under PGD-1 is range compression altogether, that under PGD-8 for five sixths
    folder = shared_data / "authors_results"
    base, ours = (
        by_case(read_authors(folder / f"NIPS_resnet101+{name}relu_PGD={steps}.csv", model="m", attack="pgd"))
        for name in ("", "cayley_pool+0.1_l2+")
    )
    case = ("m", "pgd", 2 / 255)
    defended = aligned(base[case], ours[case])
    found = range_compression(defended.clean, defended.attacked, base[case].clean, base[case].attacked)
    assert (found.baseline_gain, found.own_gain, found.baseline_range_gain) == pytest.approx(gains, abs=1e-3)
    assert found.share_of_own_gain == pytest.approx(0.65, abs=5e-3)
    assert found.share_of_reduction == pytest.approx(share, abs=0.01)
    assert found.verdict == verdict
