"""Fits before PLCC and RMSE: against scipy's curve_fit of the published formulas, and what must hold of any fit."""

import numpy as np
import pytest
from scipy.optimize import curve_fit

from robust_iqa_jax.metrics import accuracy, score_mapping
from robust_iqa_jax.metrics.score_mapping import fit_mapping

RNG = np.random.default_rng(3)
PREDICTED = RNG.normal(40, 12, 60)


def vqeg(x, b1, b2, b3, b4):
    return (b1 - b2) / (1 + np.exp(-(x - b3) / np.abs(b4))) + b2


def sheikh(x, b1, b2, b3, b4, b5):
    return b1 * (0.5 - 1 / (1 + np.exp(b2 * (x - b3)))) + b4 * x + b5


TRUTH = {"logistic4": (vqeg, (80.0, 15.0, 42.0, 5.0)), "logistic5": (sheikh, (50.0, 0.2, 38.0, 0.4, 20.0))}


@pytest.mark.parametrize("kind", TRUTH)
def test_parameters_of_data_without_noise_are_found(kind):
    formula, truth = TRUTH[kind]
    mapping = fit_mapping(PREDICTED, formula(PREDICTED, *truth), kind)
    np.testing.assert_allclose(mapping.parameters, truth, rtol=1e-6)
    np.testing.assert_allclose(mapping(PREDICTED), formula(PREDICTED, *mapping.parameters), rtol=1e-12)


@pytest.mark.parametrize("kind", TRUTH)
def test_plcc_and_rmse_after_a_fit_equal_those_of_another_optimiser_started_at_the_truth(kind):
    formula, truth = TRUTH[kind]
    mos = formula(PREDICTED, *truth) + RNG.normal(0, 6, 60)
    found, _ = curve_fit(
        formula, PREDICTED, mos, truth, method="trf", ftol=1e-15, xtol=1e-15, gtol=1e-15, max_nfev=9999
    )
    expected = formula(PREDICTED, *found)
    assert accuracy.plcc(PREDICTED, mos, kind) == pytest.approx(np.corrcoef(expected, mos)[0, 1], rel=1e-10)
    assert accuracy.rmse(PREDICTED, mos, kind) == pytest.approx(np.sqrt(((expected - mos) ** 2).mean()), rel=1e-10)


def test_linear_fit_is_polyfit_and_leaves_plcc_but_for_its_sign():
    mos = 90 - 1.5 * PREDICTED + RNG.normal(0, 9, 60)
    np.testing.assert_allclose(
        fit_mapping(PREDICTED, mos, "linear").parameters, np.polyfit(PREDICTED, mos, 1), rtol=1e-10
    )
    assert accuracy.plcc(PREDICTED, mos, "linear") == pytest.approx(-accuracy.plcc(PREDICTED, mos), rel=1e-10)
    residual = mos - np.polyval(np.polyfit(PREDICTED, mos, 1), PREDICTED)
    assert accuracy.rmse(PREDICTED, mos, "linear") == pytest.approx(np.sqrt((residual**2).mean()), rel=1e-10)


@pytest.mark.parametrize("slope", [1.0, -1.0])
def test_fits_are_finite_on_lines_steps_and_saturation_whichever_way_is_better(slope):
    z = (PREDICTED - 40) / 12
    for mos in (3 * z, np.sign(z), np.minimum(z, 0), RNG.normal(size=60)):
        line = accuracy.rmse(PREDICTED, slope * mos, "linear")
        for kind in TRUTH:
            assert np.isfinite(fit_mapping(PREDICTED, slope * mos, kind).parameters).all()
            # a line is a logistic of 5 parameters, and of 4 to within what the bound on the width leaves
            assert accuracy.rmse(PREDICTED, slope * mos, kind) <= line + 1e-3


def test_mapped_scores_follow_a_change_of_units():
    mos = vqeg(PREDICTED, *TRUTH["logistic4"][1]) + RNG.normal(0, 6, 60)
    a, b = (fit_mapping(x, mos, "logistic5")(x) for x in (PREDICTED, 1e-3 * PREDICTED - 7))
    np.testing.assert_allclose(a, b, rtol=1e-7)


def test_undefined_and_unconverged_fits_are_refused(monkeypatch):
    with pytest.raises(ValueError, match="unknown kind 'cubic'; choose one of linear, logistic4, logistic5"):
        fit_mapping(PREDICTED, PREDICTED, "cubic")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="fit_mapping logistic5: at least 6 predictions"):
        fit_mapping(PREDICTED[:5], PREDICTED[:5], "logistic5")
    with pytest.raises(ValueError, match="all predictions are equal"):
        fit_mapping(np.ones(9), PREDICTED[:9], "linear")
    monkeypatch.setattr(score_mapping, "_EVALUATIONS", 1)
    with pytest.raises(ValueError, match="the fit to 60 images did not converge; use kind='linear'"):
        fit_mapping(PREDICTED, vqeg(PREDICTED, 80, 15, 42.5, 6.5), "logistic4")
