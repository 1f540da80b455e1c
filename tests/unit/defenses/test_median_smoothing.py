"""Certificates of median smoothing: closed form on a linear score, coverage over seeds, attacks that stay inside."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from robust_iqa_jax.attacks.eot import EOT
from robust_iqa_jax.attacks.gradient import PGD
from robust_iqa_jax.defenses.median_smoothing import Smoothing, certificates, noisy_scores
from robust_iqa_jax.defenses.purification import parse_defense

RNG = np.random.default_rng(0)
IMAGES = jnp.asarray(RNG.uniform(0.4, 0.6, (2, 6, 5, 3)), jnp.float32)
WEIGHTS = RNG.normal(size=(6, 5, 3)).astype(np.float32)
LENGTH = float(np.linalg.norm(WEIGHTS))
KEY = jax.random.key(1)
SIGMA = 0.03
"""So small that no pixel of IMAGES is cut: under this noise a linear score is normal."""


def linear(x):
    return (x * WEIGHTS).sum((1, 2, 3))


def bumpy(x):
    return jnp.sin(4 * linear(x)) + linear(x)


def test_a_linear_scores_interval_is_its_range_in_the_ball():
    """w x + N(0, sigma |w|): the quantiles are w x -+ radius |w|, which is what the best attack reaches."""
    smoothing = Smoothing(SIGMA, radius=0.6 * SIGMA, samples=20_000, alpha=0.01)
    for certificate, value in zip(
        certificates(linear, KEY, IMAGES, smoothing, chunk=5000), linear(IMAGES), strict=True
    ):
        assert certificate.plain == pytest.approx(float(value), rel=1e-5)
        unit = SIGMA * LENGTH
        assert certificate.score == pytest.approx(float(value), abs=0.05 * unit)
        assert certificate.low == pytest.approx(float(value) - 0.6 * unit, abs=0.05 * unit)
        assert certificate.high == pytest.approx(float(value) + 0.6 * unit, abs=0.05 * unit)


def test_intervals_hold_as_often_as_they_say():
    """Against the exact ends, over many draws of the noise."""
    alpha, seeds = 0.2, 300
    smoothing = Smoothing(SIGMA, radius=SIGMA, samples=100, alpha=alpha)
    copies = jnp.repeat(IMAGES[:1], seeds, 0)
    intervals = certificates(linear, KEY, copies, smoothing, chunk=6000)
    low, high = (float(linear(IMAGES)[0]) + sign * SIGMA * LENGTH for sign in (-1, 1))
    wrong = np.mean([one.low > low or one.high < high for one in intervals])
    assert 0 < wrong <= alpha + 3 * (alpha * (1 - alpha) / seeds) ** 0.5


def test_no_attack_leaves_the_interval():
    """l2 PGD on the mean over the noise: the smoothed score where it ends is inside, up to its own uncertainty."""
    sigma, radius = 0.1, 0.15
    smoothing = Smoothing(sigma, radius, samples=4000, alpha=0.001)
    noise = parse_defense(f"noise:{sigma}").on(bumpy)
    certified = certificates(bumpy, KEY, IMAGES, smoothing, chunk=4000)
    for direction in ("raise", "lower"):
        attack = EOT(PGD(radius, 20, norm="l2", direction=direction), 64)
        attacked = noisy_scores(bumpy, jax.random.key(7), attack(noise, 0, IMAGES), sigma, 4000, chunk=4000)
        medians = np.median(attacked, 1)
        clean = np.array([one.score for one in certified])
        assert (np.abs(medians - clean) > 0.1).all(), "the attack does nothing"
        for one, median in zip(certified, medians, strict=True):
            assert one.low <= median <= one.high


def test_noisy_scores_are_the_same_in_any_chunk_and_alone():
    together = noisy_scores(bumpy, KEY, IMAGES, 0.1, 7, chunk=5)
    np.testing.assert_allclose(noisy_scores(bumpy, KEY, IMAGES, 0.1, 7, chunk=3), together, rtol=1e-5)
    np.testing.assert_allclose(noisy_scores(bumpy, KEY, IMAGES[:1], 0.1, 7, chunk=64), together[:1], rtol=1e-4)
    assert len(np.unique(together)) == 14


def test_a_denoiser_stands_between_the_noise_and_the_score():
    denoiser = lambda x: jnp.round(x * 4) / 4  # noqa: E731
    plain = noisy_scores(lambda x: linear(denoiser(x)), KEY, IMAGES, 0.1, 9)
    np.testing.assert_allclose(noisy_scores(linear, KEY, IMAGES, 0.1, 9, denoiser=denoiser), plain, rtol=1e-6)


def test_a_larger_radius_has_a_wider_interval_and_one_without_end_is_refused():
    widths = [
        one.high - one.low
        for ratio in (0.2, 0.5, 1.0, 2.0)
        for one in certificates(linear, KEY, IMAGES[:1], Smoothing(SIGMA, ratio * SIGMA, 500), chunk=500)
    ]
    assert widths == sorted(widths)
    assert norm.cdf(-4) < 1e-4
    with pytest.raises(
        ValueError, match=r"certify: 1000 samples bound nothing at a radius of 4.17 sigma; .*\(sigma 0.12\)"
    ):
        Smoothing(0.12, 0.5)


def test_chunks_are_counted_and_scores_that_are_not_finite_end_it():
    counted = []
    noisy_scores(linear, KEY, IMAGES, 0.1, 7, chunk=4, on_chunk=counted.append)
    assert counted == [4, 4, 4, 2]
    with pytest.raises(ValueError, match="score of a noisy photo is not finite"):
        noisy_scores(lambda x: linear(x) / 0, KEY, IMAGES, 0.1, 2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sigma": 0}, "sigma in .* must be above 0"),
        ({"radius": float("inf")}, "radius in .* must be above 0 and finite, got inf"),
        ({"samples": 0}, "one sample or more expected, got 0"),
        ({"alpha": 1.0}, "alpha, a probability, must lie between 0 and 1, got 1"),
    ],
)
def test_settings_of_no_use_are_refused(settings, message):
    with pytest.raises(ValueError, match=f"certify: {message}"):
        Smoothing(**settings)
