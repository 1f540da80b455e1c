"""Sizes of perturbations against loops in float64; the distance in EfficientNet-Lite's maps."""

import numpy as np
import pytest
from quick_models import quick_jit

from robust_iqa_jax.evaluation.backbone_distance import backbone_distance, backbone_features
from robust_iqa_jax.evaluation.perturbation_size import perturbation_sizes
from robust_iqa_jax.functional.ssim import ms_ssim, ssim
from robust_iqa_jax.metrics.pixel_distance import linf, psnr

RNG = np.random.default_rng(0)
CLEAN = RNG.uniform(0.2, 0.8, (3, 16, 12, 3)).astype(np.float32)
ATTACKED = CLEAN + RNG.uniform(-0.05, 0.05, CLEAN.shape).astype(np.float32)


def test_norms_and_psnr_by_loops():
    found = perturbation_sizes(CLEAN, ATTACKED, batch_size=2)
    for i, (x, y) in enumerate(zip(CLEAN.astype(np.float64), ATTACKED.astype(np.float64), strict=True)):
        change = (y - x).ravel()
        assert found["linf"][i] == pytest.approx(max(abs(v) for v in change), rel=1e-10)
        assert found["l2"][i] == pytest.approx(np.linalg.norm(change), rel=1e-10)
        assert found["psnr"][i] == pytest.approx(10 * np.log10(change.size / (change @ change)), rel=1e-10)
    np.testing.assert_allclose(found["ssim"], quick_jit(ssim)(CLEAN, ATTACKED), rtol=1e-5)
    assert list(found) == ["linf", "l2", "psnr", "ssim"]


def test_equal_images_are_at_infinite_psnr():
    assert np.isposinf(psnr(CLEAN, CLEAN)).all()
    assert not linf(CLEAN, CLEAN).any()


def test_ms_ssim_and_a_distance_on_demand():
    big = RNG.uniform(0, 1, (1, 176, 176, 1)).astype(np.float32)
    far = lambda x, y: ((x - y) ** 2).sum((1, 2, 3))  # noqa: E731
    found = perturbation_sizes(big, 0.9 * big, ["ms_ssim"], distance=far)
    np.testing.assert_allclose(found["ms_ssim"], quick_jit(ms_ssim)(big, 0.9 * big), rtol=1e-5)
    np.testing.assert_allclose(found["feature_distance"], far(big, 0.9 * big), rtol=1e-4)


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(ValueError, match=r"unknown measures \['lpips'\]; choose among linf, l2, psnr, ssim, ms_ssim"):
        perturbation_sizes(CLEAN, ATTACKED, ["lpips"])
    with pytest.raises(ValueError, match="ms_ssim: images of 16 x 12 are too small"):
        perturbation_sizes(CLEAN, ATTACKED, ["ms_ssim"])
    with pytest.raises(ValueError, match=r"one shape expected, got \(3, 16, 12, 3\) and \(2, 16, 12, 3\)"):
        perturbation_sizes(CLEAN, ATTACKED[:2])


@pytest.mark.usefixtures("shallow")
def test_distance_in_maps_of_imagenet_weights():
    features = backbone_features("shallow", ["stage1", "stage3"])
    x = RNG.uniform(0, 1, (2, 32, 32, 3)).astype(np.float32)
    y = np.clip(x + RNG.normal(0, 0.1, x.shape), 0, 1).astype(np.float32)
    maps = quick_jit(features)(np.concatenate([x, y]))
    expected = np.zeros(2)
    for found in maps.values():
        unit = np.asarray(found, np.float64)
        unit /= np.linalg.norm(unit, axis=-1, keepdims=True)
        expected += ((unit[:2] - unit[2:]) ** 2).sum(-1).mean((1, 2)) / 2
    distance = backbone_distance("shallow", ["stage1", "stage3"])
    np.testing.assert_allclose(quick_jit(distance)(x, y), expected, rtol=1e-4)
    with pytest.raises(ValueError, match=r"shallow has no maps \['stage9'\]; choose among stem"):
        backbone_features("shallow", ["stage9"])
