"""Every construction of an orthogonal convolution inside a model's block: trained weights saved, prepared, pruned."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_backbone
from quick_models import random_variables
from slow_cases import slow_but

from robust_iqa_jax.defenses.magnitude import l1_weight_masks
from robust_iqa_jax.defenses.masks import apply_masks
from robust_iqa_jax.layers import CONVOLUTIONS
from robust_iqa_jax.models import checkpoint
from robust_iqa_jax.models.registry import build
from robust_iqa_jax.models.scorer import Calibration, PreparedScorer, Scorer
from robust_iqa_jax.models.spec import BlockSpec, ModelSpec

pytestmark = pytest.mark.usefixtures("hardly_optimised", "tiny_registered")


@pytest.fixture(scope="module")
def tiny_registered():
    with tiny_backbone.registered():
        yield


def spec_of(name):
    block = BlockSpec(at="first", mid_channels=4, convolution=name)
    return ModelSpec(backbone="tiny", taps=("first", "second"), input_size=(16, 16), block=block)


@pytest.mark.parametrize("name", slow_but(list(CONVOLUTIONS), "bcop"))
def test_a_model_is_prepared_saved_and_pruned_with_it(name, tmp_path):
    spec, images = spec_of(name), jnp.asarray(np.random.default_rng(0).uniform(0, 1, (2, 16, 16, 3)), jnp.float32)
    variables = random_variables(build(spec), (1, 16, 16, 3))
    scorer = Scorer(variables, Calibration.identity(), spec)
    prepared = scorer.prepare()
    assert isinstance(prepared, PreparedScorer)
    assert set(prepared.fixed["params"]["block"]) == {"conv_in"}
    np.testing.assert_allclose(prepared(images), scorer(images), atol=2e-5)  # scores are near one
    checkpoint.save(tmp_path / "model", scorer)
    again = checkpoint.load(tmp_path / "model")
    assert again.spec == spec
    np.testing.assert_array_equal(again(images), scorer(images))
    masks = l1_weight_masks(variables["params"], 0.3)
    assert f"block/{name}/kernel" in masks
    pruned = {**variables, "params": apply_masks(variables["params"], masks)}
    assert np.isfinite(dataclasses.replace(scorer, variables=pruned)(images)).all()


def test_a_description_older_than_the_choice_has_the_papers():
    fields = spec_of("bcop").to_json()
    assert ModelSpec.from_json(fields) == spec_of("bcop")
    del fields["block"]["convolution"]
    assert ModelSpec.from_json(fields) == spec_of("cayley")
    module = jax.eval_shape(build(spec_of("cayley")).block.init, jax.random.key(0), jnp.zeros((1, 5, 5, 6)))
    assert set(module["params"]["cayley"]) == {"kernel", "alpha", "bias"}, "names that stored weights have"
