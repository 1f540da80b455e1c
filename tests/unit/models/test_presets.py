"""Models by name: the RobustBlock at every published position, with the published shapes, and one score for a photo."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_backbone
from quick_models import quick_jit, random_variables
from slow_cases import slow_but

from robust_iqa_jax.backbones.resnet import ResNet
from robust_iqa_jax.functional.pooling import pool_to_square
from robust_iqa_jax.layers.robust_block import RobustBlock
from robust_iqa_jax.models.architectures import architecture
from robust_iqa_jax.models.crops import crop_grid
from robust_iqa_jax.models.linearity_iqa import POSITIONS
from robust_iqa_jax.models.presets import preset
from robust_iqa_jax.models.registry import build
from robust_iqa_jax.models.scorer import outputs_of
from robust_iqa_jax.models.spec import BlockSpec, CropSpec, ModelSpec


@pytest.fixture(scope="module")
def tiny():
    with tiny_backbone.registered():
        yield


# LinearityIQA over ResNet-101 at 498x664 (docs/sources.md 1.5): C, M, size before, sides pooled, after conv_in
PUBLISHED = {
    "1": (3, 3, (498, 664), 488, 486),
    "2": (64, 64, (125, 166), 122, 120),
    "3": (256, 256, (125, 166), 122, 120),
    "4": (512, 128, (63, 83), 61, 59),
    "5": (512, 200, (63, 83), 61, 59),
    "6": (1024, 200, (32, 42), 31, 29),
}


@pytest.mark.parametrize("position", PUBLISHED)
def test_positions_see_the_published_maps(position):
    channels, middle, size, pooled, after = PUBLISHED[position]
    block, seen = POSITIONS[position], []

    def record(x):
        seen.append((x.shape, jax.eval_shape(pool_to_square, x).shape))
        return RobustBlock(block.mid_channels, block.pool, block.padding)(x)

    image = jax.ShapeDtypeStruct((1, 498, 664, 3), jnp.float32)
    model = ResNet("resnet101")
    # the block is drawn inside the network's own scope: its parameters tell its widths
    variables = jax.eval_shape(
        lambda key, x: model.init(key, x, train=False, insert={block.at: record}), jax.random.key(0), image
    )
    assert seen[0] == ((1, *size, channels), (1, pooled, pooled, channels))
    (name,) = (module for module in variables["params"] if module.startswith("RobustBlock"))
    assert variables["params"][name]["conv_in"]["kernel"].shape == (3, 3, channels, middle)
    assert variables["params"][name]["cayley"]["kernel"].shape == (3, 3, middle, channels)
    assert after == pooled - 2  # conv_in has no padding


def test_the_pair_sits_on_the_two_taps_and_leaves_the_backbone(tiny):
    spec = ModelSpec("linearity", "tiny", ("first", "second"), (24, 32), block=BlockSpec("taps", 4, "none", 1))
    model = build(spec)
    drawn = random_variables(model, (1, 24, 32, 3))
    assert set(drawn["params"]) == {"backbone", "head", "tap_blocks_first", "tap_blocks_second"}
    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 24, 32, 3)), jnp.float32)

    @quick_jit
    def features(params):
        return model.apply({**drawn, "params": params}, x, method="features")

    before = features(drawn["params"])
    block = drawn["params"]["tap_blocks_first"]
    cleared = {**block, "conv_in": jax.tree.map(np.zeros_like, block["conv_in"])}
    after = features({**drawn["params"], "tap_blocks_first": cleared})
    assert np.abs(before[0] - after[0]).max() > 1e-4
    np.testing.assert_array_equal(before[1], after[1])


ROBUST = ("koncept512", "tres", "hyperiqa", "dbcnn", "maniqa", "musiq", "linearity-vit_base_patch8_224")


@pytest.mark.parametrize("name", slow_but(ROBUST, *(name for name in ROBUST if name != "koncept512")))
def test_every_architecture_scores_with_its_block(name):
    spec = preset(f"{name}-robust")
    image = jax.ShapeDtypeStruct((2, *spec.seen_size, 3), jnp.float32)
    outputs, variables = jax.eval_shape(
        lambda key, x: build(spec).init_with_output(key, x, train=False), jax.random.key(0), image
    )
    assert outputs.shape == (2, 3 if name.startswith("linearity") else 1)
    assert "block" in variables["params"]


def test_a_block_where_there_is_none_is_named():
    spec = dataclasses.replace(preset("koncept512"), block=BlockSpec("layer3"))
    with pytest.raises(
        ValueError, match="koncept512 over inception_resnet_v2: no feature map 'layer3' for the block; "
    ):
        build(spec)
    with pytest.raises(ValueError, match="unknown architecture 'brisque'; there are linearity, koncept512"):
        build(ModelSpec(architecture="brisque"))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="nothing is left of maps of 2 x 2 behind its 3x3 convolution"):
        RobustBlock(4).init(jax.random.key(0), jnp.zeros((1, 2, 2, 8)))


def test_crops_lie_on_a_grid_from_edge_to_edge():
    images = jnp.arange(2 * 10 * 12, dtype=jnp.float32).reshape(2, 10, 12, 1)
    windows = crop_grid(images, CropSpec(4, 2, 3))
    assert windows.shape == (12, 4, 4, 1)
    np.testing.assert_array_equal(windows[0], images[0, :4, :4])
    np.testing.assert_array_equal(windows[4], images[0, 6:, 4:8])
    np.testing.assert_array_equal(windows[11], images[1, 6:, 8:])
    np.testing.assert_array_equal(crop_grid(images, CropSpec(4, 1, 1))[1], images[1, 3:7, 4:8])
    with pytest.raises(ValueError, match="crops of 11 pixels do not fit into images of 10 x 12"):
        crop_grid(images, CropSpec(11, 1, 1))


def test_a_score_is_the_mean_over_the_crops(tiny):
    spec = ModelSpec("linearity", "tiny", ("second",), (24, 32), CropSpec(16, 2, 2))
    variables = random_variables(build(spec), (1, 16, 16, 3))
    images = jnp.asarray(np.random.default_rng(0).uniform(size=(2, 24, 32, 3)), jnp.float32)
    scores = quick_jit(lambda v, x: outputs_of(spec, v, x))(variables, images)
    whole = dataclasses.replace(spec, crops=None, input_size=(16, 16))
    apart = quick_jit(lambda v, x: outputs_of(whole, v, x))(variables, crop_grid(images, CropSpec(16, 2, 2)))
    np.testing.assert_allclose(scores, apart.reshape(2, 4, -1).mean(1), atol=1e-5)


def test_descriptions_in_checkpoints_of_before_are_read():
    block = {"at": "layer3", "mid_channels": 512, "pool": "none", "padding": 1, "norm": "taps", "alpha_init": None}
    fields = {
        "architecture": "tres",
        "backbone": "resnet50",
        "taps": [],
        "input_size": [384, 512],
        "crops": {"side": 224, "rows": 5, "columns": 10},
        "pool_levels": 1,
        "pool_kind": "avg",
        "pool_window": None,
        "swin_scale": 0.8,
        "block": {**block, "compat": "exact"},
        "inner_widths": [],
    }
    assert ModelSpec.from_json(fields) == preset("tres-robust")
    now = {"taps": (), "input_size": (384, 512), "inner_widths": ()}
    now["block"] = {**fields["block"], "convolution": "cayley"}  # the only one that there was
    assert {**fields, **now} == preset("tres-robust").to_json()
    with pytest.raises(ValueError, match="model description: "):
        ModelSpec.from_json({**fields, "width": 3})


# docs/sources.md 2.1-2.5: loss of the scores, mean of the normalisation
RECIPES = {
    "linearity-resnet50": ("norm-in-norm", (0.485, 0.456, 0.406)),
    "koncept512": ("squared", (0.5, 0.5, 0.5)),
    "tres": ("absolute", (0.485, 0.456, 0.406)),
    "hyperiqa": ("absolute", (0.485, 0.456, 0.406)),
    "dbcnn": ("squared", (0.485, 0.456, 0.406)),
    "maniqa": ("squared", (0.5, 0.5, 0.5)),
    "musiq": ("absolute", (0.5, 0.5, 0.5)),
}


@pytest.mark.parametrize("name", RECIPES)
def test_the_records_have_the_published_recipes(name):
    record, (loss, mean) = architecture(preset(name)), RECIPES[name]
    assert record.loss == loss
    assert record.normalisation(preset(name))[0] == pytest.approx(mean)
    assert (record.objective is not None) == (name == "tres")
