"""Gradient masking: an honest score passes, and each known way to hide gradients is found by its check."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_score import images, score

from robust_iqa_jax.evaluation.masking import dead_gradients, gradient_masking

pytestmark = pytest.mark.usefixtures("hardly_optimised")

KEY = jax.random.key(0)


def findings(scorer, **settings):
    settings = {"eps": 0.03, "steps": 10, "queries": 100, "score_range": (-15.0, 15.0), **settings}
    with jax.debug_key_reuse(True):
        return gradient_masking(scorer, KEY, images(6), **settings)  # warns of nothing: its findings say it


def rounded(x):
    """Input quantised to 30 levels: gradients are zero everywhere."""
    return score(jnp.round(x * 30) / 30)


@jax.custom_jvp
def shattered(x):
    """A score that lies about its gradient: the derivative of another, unrelated function."""
    return score(x)


@shattered.defjvp
def _(primals, tangents):
    (x,), (t,) = primals, tangents
    return score(x), (jnp.cos(300 * x) * t).sum((1, 2, 3))


@jax.custom_jvp
def watchful(x):
    """A score whose gradient is right at 8-bit images and points the other way everywhere else."""
    return score(x)


@watchful.defjvp
def _(primals, tangents):
    (x,), (t,) = primals, tangents
    whole = jnp.abs(x * 255 - jnp.round(x * 255)).max() < 1e-3
    value, slope = jax.jvp(score, (x,), (t,))
    return value, jnp.where(whole, slope, -slope)


def test_an_honest_score_raises_no_suspicion():
    found = findings(score, baseline=lambda x: score(x) * 0.5 + x.mean((1, 2, 3)))
    assert {name for name, finding in found.items() if finding.suspicious} == set()
    assert found["dead gradients"].value == 0
    assert found["one step beats many"].value < found["one step beats many"].limit
    assert len(found) == 6


def test_zero_gradients_are_found_and_beaten_by_queries_and_transfer():
    found = findings(rounded, baseline=score)
    suspicious = {name for name, finding in found.items() if finding.suspicious}
    assert found["dead gradients"].value == 1
    assert suspicious >= {
        "dead gradients", "flat loss surface", "black box beats white box", "unbounded attack fails",
        "transfer beats white box",
    }  # fmt: skip


def test_misleading_gradients_are_found_though_they_are_not_zero():
    found = findings(shattered, direction="lower")
    assert not found["dead gradients"].suspicious
    assert {"black box beats white box", "unbounded attack fails"} <= {
        name for name, finding in found.items() if finding.suspicious
    }


def test_a_single_step_that_beats_many_is_found():
    found = gradient_masking(
        watchful, KEY, np.round(images(6) * 255) / 255, eps=0.03, steps=10, queries=100, score_range=(-15.0, 15.0)
    )
    assert {name for name, finding in found.items() if finding.suspicious} >= {
        "one step beats many", "black box beats white box", "unbounded attack fails",
    }  # fmt: skip


def test_images_in_chunks_are_found_the_same():
    sizes = []

    def counted(x):
        sizes.append(len(x))
        return score(x)

    whole, chunked = findings(score), findings(counted, chunk=4)
    assert max(sizes) == 4
    for name, finding in whole.items():
        assert chunked[name].value == pytest.approx(finding.value, rel=1e-4, abs=1e-6)
        assert chunked[name].limit == pytest.approx(finding.limit, rel=1e-4, abs=1e-6)


def test_dead_gradients_counts_zeros_and_nan():
    x = jnp.asarray(images(2))
    half = x.at[:, 3:].set(0)
    assert dead_gradients(lambda v: (v * (half > 0)).sum((1, 2, 3)), x) == pytest.approx(0.5)
    assert dead_gradients(lambda v: jnp.sqrt(v - v).sum((1, 2, 3)), x) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"score_range": (5.0, 5.0)}, "score_range as \\(lowest, highest\\) expected, got \\(5.0, 5.0\\)"),
        ({"eps": 0}, "eps must be above 0"),
        ({"direction": "change"}, "unknown direction 'change'; choose one of raise, lower"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        findings(score, **settings)
