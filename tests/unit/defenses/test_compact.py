"""Compact models: the same outputs with fewer channels, on disk and by command."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import photo_tables
import pytest
from flax import traverse_util
from quick_models import quick_jit, random_variables
from slow_cases import slow_but

from robust_iqa_jax.cli import main
from robust_iqa_jax.defenses.compact import compact, parameter_count
from robust_iqa_jax.defenses.magnitude import l2_filter_masks
from robust_iqa_jax.defenses.masks import apply_masks
from robust_iqa_jax.models import checkpoint
from robust_iqa_jax.models.presets import preset
from robust_iqa_jax.models.registry import build, init_pretrained
from robust_iqa_jax.models.scorer import Calibration, Scorer, outputs_of
from robust_iqa_jax.models.spec import ModelSpec

pytestmark = pytest.mark.usefixtures("tiny", "hardly_optimised")

SIZE = (33, 47)


def masked_scorer(backbone, amount):
    """Random weights and batch statistics, so that zero filters leave constants of either sign behind."""
    taps = ("stage2", "stage3") if backbone == "tiny_lite" else ("layer1", "layer2")
    spec = ModelSpec(backbone=backbone, taps=taps, input_size=SIZE)
    variables = random_variables(build(spec), (1, *SIZE, 3))
    params = apply_masks(variables["params"], l2_filter_masks(variables["params"], amount))
    return Scorer({"params": params, "batch_stats": variables["batch_stats"]}, Calibration.identity(), spec)


def edited(original, *changes):
    """The scorer with changes (path of a parameter, index in its last axis, value)."""
    params = jax.tree.map(np.array, original.variables["params"])
    for path, index, value in changes:
        traverse_util.flatten_dict(params["backbone"], sep="/")[path][..., index] = value
    return dataclasses.replace(original, variables={**original.variables, "params": jax.tree.map(jnp.asarray, params)})


def outputs(scorer):
    images = jax.random.uniform(jax.random.key(1), (3, *SIZE, 3))
    return np.asarray(quick_jit(lambda v, x: outputs_of(scorer.spec, v, x))(scorer.variables, images))


def zero_filters(scorer, path):
    """Indices of the filters of a kernel that are zero."""
    kernel = traverse_util.flatten_dict(scorer.variables["params"]["backbone"], sep="/")[path]
    return np.flatnonzero(~np.asarray(kernel).reshape(-1, kernel.shape[-1]).any(0))


ALL = slice(None)
HARD = {
    "tiny_basic": (),
    "tiny_bottleneck": ("layer2_0/conv1/kernel", "layer2_0/conv2/kernel"),
    "tiny_lite": ("stage3_block1/depthwise/conv/kernel",),
}
"""Whole layers at zero, which have to keep a channel."""


@pytest.mark.parametrize("backbone", slow_but(list(HARD), "tiny_bottleneck"))
def test_outputs_stay_and_parameters_go(backbone):
    masked = edited(masked_scorer(backbone, 0.3), *((path, ALL, 0) for path in HARD[backbone]))
    small, expected = compact(masked), outputs(masked)
    assert np.ptp(expected[:, -1]) > 0.1  # the images tell scores apart
    np.testing.assert_allclose(outputs(small), expected, atol=1e-5 * np.abs(expected).max())
    assert parameter_count(small.variables) < parameter_count(masked.variables)
    for path in HARD[backbone]:
        inner = path.replace("depthwise/conv", "expand").removesuffix("/kernel")
        assert dict(small.spec.inner_widths)[inner] == 1
    assert compact(small) is small


def test_channels_behind_a_padded_convolution_go_but_one_that_carries_their_constants():
    masked = masked_scorer("tiny_bottleneck", 0.25)
    assert [len(zero_filters(masked, f"layer1_0/conv{i}/kernel")) for i in (1, 2)] == [16, 16]
    small = compact(masked)
    widths = dict(small.spec.inner_widths)
    assert widths["layer1_0/conv2"] == 64 - 16
    assert widths["layer1_0/conv1"] == 64 - 16 + 1
    assert len(zero_filters(small, "layer1_0/conv1/kernel")) == 1
    silent = compact(edited(masked, ("layer1_0/bn1/bias", ALL, -10)))  # nothing passes the ReLU
    assert dict(silent.spec.inner_widths)["layer1_0/conv1"] == 64 - 16


def test_a_depthwise_channel_goes_where_the_border_looks_like_the_interior():
    at, constants = "stage2_block1/{}/bn/bias", {0: -10.0, 1: 0.5, 2: 0.5, 3: 0.5}
    masked = edited(
        masked_scorer("tiny_lite", 0),
        *(("stage2_block1/expand/conv/kernel", i, 0) for i in constants),
        *((at.format("expand"), i, value) for i, value in constants.items()),  # the first does not pass the ReLU
        *((at.format("depthwise"), i, value) for i, value in ((1, -100), (2, 100))),  # saturated, whatever comes in
    )
    small, expected = compact(masked), outputs(masked)
    assert dict(small.spec.inner_widths)["stage2_block1/expand"] == 96 - 3
    np.testing.assert_allclose(outputs(small), expected, atol=1e-5 * np.abs(expected).max())


def test_what_cannot_shrink_is_left_or_named():
    plain, grouped = masked_scorer("tiny_bottleneck", 0), masked_scorer("tiny_grouped", 0.2)
    assert compact(plain) is plain
    assert compact(grouped) is grouped
    for name in ("linearity-vgg16", "tres"):
        other = Scorer({"params": {}, "batch_stats": {}}, Calibration.identity(), preset(name))
        with pytest.raises(ValueError, match="has no blocks that can be taken apart; LinearityIQA over a ResNet"):
            compact(other)
    widths = (("conv1_1", 3),)
    with pytest.raises(ValueError, match="vgg16: its blocks have fixed widths"):
        build(dataclasses.replace(preset("linearity-vgg16"), inner_widths=widths))
    with pytest.raises(ValueError, match="a compact model has no ImageNet weights"):
        init_pretrained(dataclasses.replace(plain.spec, inner_widths=widths), jax.random.key(0))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, tiny):
    folder = tmp_path_factory.mktemp("prune")
    checkpoint.save(folder / "base", masked_scorer("tiny_lite", 0))
    photo_tables.write_photo_table(folder, count=8, side=64)
    return folder


@pytest.fixture
def folder(prepared, monkeypatch):
    monkeypatch.chdir(prepared)
    return prepared


@pytest.mark.slow
def test_the_command_prunes_by_photos_and_removes_what_it_pruned(folder, capsys):
    args = ["prune", "base", "--method", "pls", "--amount", "0.2", "--data", "scores.csv", "--out"]
    assert main([*args, "masked"]) == 0
    assert "before" in capsys.readouterr().out
    assert main(["prune", "masked", "--amount", "0", "--compact", "--json", "--out", "small"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["after"]["parameters"] < report["before"]["parameters"]
    assert report["after"]["megabytes"] < report["before"]["megabytes"]
    assert {"method", "amount", "pruned_share", "source"} <= report.keys()
    base, masked, small = (checkpoint.load(folder / name) for name in ("base", "masked", "small"))
    assert parameter_count(masked.variables) == parameter_count(base.variables)
    assert not masked.spec.inner_widths
    assert small.spec.inner_widths
    stats = [own.variables["batch_stats"]["backbone"]["stem"]["bn"]["mean"] for own in (base, masked)]
    assert not np.array_equal(*stats)  # measured again
    expected = outputs(masked)
    np.testing.assert_allclose(outputs(small), expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("args", "status", "message"),
    [
        (["nowhere", "--out", "x"], 1, "nowhere: no such checkpoint"),
        (["base", "--out", "base"], 1, "--out base: holds the checkpoint that is pruned; choose another folder"),
        (["base", "--out", "x", "--amount", "1.5"], 1, "amount must lie in [0, 1), got 1.5"),
        (["base", "--out", "x", "--method", "hsic"], 1, "hsic looks at activations, give it labelled photos"),
        (["base", "--out", "x", "--data", "no.csv"], 1, "no.csv: no such label table"),
        (["base", "--out", "x", "--data", "scores.csv", "--test-group", "9"], 1, "--test-group 9: not in the data"),
    ],
)
def test_a_users_mistake_is_one_line(args, status, message, folder, capsys):
    assert main(["prune", *args]) == status
    err = capsys.readouterr().err
    assert message in " ".join(err.split())
    assert len(err.strip().splitlines()) == 1
    assert not (folder / "x").exists()


@pytest.mark.parametrize("args", [["base", "--out", "x", "--method", "l3"], ["base"]])
def test_a_bad_option_has_status_2(args, folder, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["prune", *args])
    assert stop.value.code == 2
    assert ("l2" if "l3" in args else "--out") in "".join(capsys.readouterr())


def test_help_shows_an_example(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["prune", "--help"])
    assert stop.value.code == 0
    assert "riqa prune runs/base" in " ".join(capsys.readouterr().out.split())
