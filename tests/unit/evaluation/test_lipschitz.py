"""Stretch of layers whose singular values are known; the Cayley convolution's norm against a dense singular value
decomposition."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from quick_models import quick_jit

from robust_iqa_jax.evaluation.lipschitz import cayley_spectral_norm, empirical_lipschitz, layer_stretch
from robust_iqa_jax.functional import cayley
from robust_iqa_jax.kernels.cayley_solve.planes import Planes

RNG = np.random.default_rng(2)
IMAGES = RNG.uniform(0, 1, (3, 4, 5, 2)).astype(np.float32)
MIX = RNG.normal(size=(2, 6)).astype(np.float32)
KEY = jax.random.key(0)


def network(mix, x):
    first = x @ mix
    return {"second": 3 * first, "first": first}  # not in the order of the network


def test_ratios_by_hand():
    changed = IMAGES + RNG.normal(0, 0.01, IMAGES.shape).astype(np.float32)
    found = layer_stretch(Partial(network, MIX), ["first", "second"], IMAGES, changed)
    change = (changed - IMAGES).astype(np.float64)
    ratios = [np.linalg.norm(d @ MIX) / np.linalg.norm(d) for d in change]
    np.testing.assert_allclose(found["first"].from_input, ratios, rtol=1e-4)
    np.testing.assert_allclose(found["first"].from_previous, ratios, rtol=1e-4)
    np.testing.assert_allclose(found["second"].from_input, 3 * np.array(ratios), rtol=1e-4)
    np.testing.assert_allclose(found["second"].from_previous, np.full(3, 3), rtol=1e-4)


def test_estimates_lie_between_the_singular_values_and_are_tight_for_multiples_of_isometries():
    found = empirical_lipschitz(Partial(network, MIX), ["first", "second"], IMAGES, KEY, draws=3)
    high, low = np.linalg.svd(MIX, compute_uv=False)
    assert low < found["first"][0] < high
    assert found["second"][1] == pytest.approx(3, rel=1e-3)


def test_layers_that_do_not_move_have_no_ratio_behind_them():
    found = layer_stretch(lambda x: {"flat": 0 * x, "other": x}, ["flat", "other"], IMAGES, IMAGES / 2)
    assert not found["flat"].from_input.any()
    assert np.isnan(found["other"].from_previous).all()


def test_bad_input_is_refused():
    features = Partial(network, MIX)
    with pytest.raises(ValueError, match=r"no maps \['third'\]; choose among second, first"):
        layer_stretch(features, ["third"], IMAGES, IMAGES / 2)
    with pytest.raises(ValueError, match="maps by name expected"):
        layer_stretch(lambda x: [x], ["first"], IMAGES, IMAGES / 2)
    with pytest.raises(ValueError, match="image 0 did not change"):
        layer_stretch(features, ["first"], IMAGES, IMAGES)
    with pytest.raises(ValueError, match="rms above 0"):
        empirical_lipschitz(features, ["first"], IMAGES, KEY, rms=0)


@pytest.mark.parametrize(("ins", "outs"), [(2, 5), (3, 3), (4, 2)])
def test_cayley_norm_is_the_largest_singular_value_of_the_dense_operator(ins, outs):
    size = (3, 4)
    kernel = jnp.asarray(RNG.normal(size=(3, 3, ins, outs)), jnp.float32)
    operator = quick_jit(lambda k: cayley.prepare(k, jnp.float32(2), jnp.zeros(outs), size))(kernel)
    assert cayley_spectral_norm(operator) == pytest.approx(1, abs=1e-6)
    # With a wrong inverse the norm is not 1, and the test can tell one number from another.
    wrong = dataclasses.replace(operator, inverse=Planes(*(1.2 * plane for plane in operator.inverse)))
    basis = np.eye(12 * ins, dtype=np.float32).reshape(-1, *size, ins)
    dense = np.asarray(quick_jit(cayley.apply)(wrong, basis), np.float64).reshape(12 * ins, -1)
    expected = np.linalg.svd(dense, compute_uv=False)[0]
    assert cayley_spectral_norm(wrong) == pytest.approx(expected, rel=1e-5)
    assert expected > 1.05
