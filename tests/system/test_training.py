"""Training end to end on a few real photos: what a run leaves, what it starts from, what it does not move."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import photo_tables
import pytest
from finished_runs import assert_same_model
from flax import traverse_util
from quick_models import quick_jit
from small_run import CONFIG, SPEC

from robust_iqa_jax.data.images import resize_image
from robust_iqa_jax.data.pipeline import resized
from robust_iqa_jax.defenses.magnitude import l2_filter_masks
from robust_iqa_jax.defenses.masks import apply_masks
from robust_iqa_jax.evaluation.predictions import predict
from robust_iqa_jax.layers.linearity_head import LinearityHead
from robust_iqa_jax.metrics.accuracy import srocc
from robust_iqa_jax.models import checkpoint
from robust_iqa_jax.models.registry import build, normalise
from robust_iqa_jax.models.spec import BlockSpec, ModelSpec
from robust_iqa_jax.training import loop
from robust_iqa_jax.training.batch_stats import reestimate_batch_stats
from robust_iqa_jax.training.config import TrainConfig
from robust_iqa_jax.training.linearity import fit_head, outputs_from
from robust_iqa_jax.training.loop import train
from robust_iqa_jax.training.optimizer import make_optimizer, part_labels
from robust_iqa_jax.training.run import resolve
from robust_iqa_jax.training.start import initial_variables

pytestmark = pytest.mark.usefixtures("hardly_optimised", "tiny_photos")

BLOCK = dataclasses.replace(SPEC, block=BlockSpec(at="first", mid_channels=4))
PROJECTED = TrainConfig(model=BLOCK, block_start="projection", batch_size=4)


def losses(folder):
    return [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def start(config, photos):
    return initial_variables(resolve(config, photos.scores), photos)


def test_loss_falls_and_every_step_is_logged(finished_run):
    lines = [json.loads(line) for line in (finished_run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 7))
    assert np.mean(losses(finished_run)[-3:]) < np.mean(losses(finished_run)[:3])
    assert list((finished_run / "tensorboard").iterdir())


def test_calibrated_scores_lie_on_the_scale_of_the_table(finished_run, tiny_training):
    scorer = checkpoint.load(finished_run)  # the work folder stands for its model
    scores = predict(scorer, tiny_training)
    assert np.mean(scores) == pytest.approx(np.mean(tiny_training.scores), abs=1)  # least squares keeps the mean
    assert scores.min() == pytest.approx(float(scorer.calibration.low), abs=0.5)
    assert scores.max() == pytest.approx(float(scorer.calibration.high), abs=0.5)
    assert (scorer.spec, scorer.label) == (SPEC, "mos")


def test_a_finished_run_comes_back_as_it_is_and_an_older_one_too(finished_run, tiny_training, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(finished_run, folder)
    written = json.loads((folder / "config.json").read_text())
    del written["monotonicity"]  # as a run has it that is older than the field
    (folder / "config.json").write_text(json.dumps(written))
    again = train(CONFIG, tiny_training, folder, lambda *_: pytest.fail("a run that has ended goes on"))
    expected = checkpoint.load(finished_run)
    np.testing.assert_allclose(predict(again, tiny_training), predict(expected, tiny_training), rtol=1e-6)
    assert json.loads((folder / "config.json").read_text())["monotonicity"] == 0
    other = dataclasses.replace(CONFIG, batch_size=2, monotonicity=0.1)
    with pytest.raises(ValueError, match="holds a run with other batch_size, monotonicity; choose another workdir"):
        train(other, tiny_training, folder)


@pytest.mark.parametrize(("mode", "low", "high"), [("projection", 0.0, 0.5), ("random", 0.7, np.inf)])
def test_projection_start_keeps_most_of_the_map_and_a_random_block_does_not(mode, low, high, tiny_training):
    variables = start(dataclasses.replace(PROJECTED, block_start=mode), tiny_training)
    module = build(BLOCK)
    images = jnp.stack([resize_image(tiny_training.load(i), (32, 32)) for i in range(8)]) / 255
    own = {name: variables[name]["backbone"] for name in ("params", "batch_stats")}
    plain = quick_jit(lambda v, x: module.backbone.apply(v, x, train=False))(own, normalise(BLOCK, images))["first"]
    replaced = quick_jit(module.block.apply)({"params": variables["params"]["block"]}, plain)
    error = float(jnp.linalg.norm(replaced - plain) / jnp.linalg.norm(plain))
    assert low <= error < high


@pytest.mark.parametrize(
    ("at", "channels", "convolution"),
    [("first", 6, "cayley"), ("input", 3, "cayley"), pytest.param("first", 6, "bcop", marks=pytest.mark.slow)],
)
def test_projection_start_is_exact_for_the_centred_map_in_the_span_of_its_directions(
    at, channels, convolution, tiny_training
):
    full = dataclasses.replace(SPEC, block=BlockSpec(at=at, mid_channels=channels, convolution=convolution))
    variables = start(dataclasses.replace(PROJECTED, model=full), tiny_training)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 4, 4, channels)), jnp.float32)
    y = quick_jit(build(full).block.apply)({"params": variables["params"]["block"]}, x)
    # with as many directions as channels the projection is the identity
    np.testing.assert_allclose(y, x, atol=2e-4)


def test_head_warm_up_fits_the_head_and_nothing_else():
    rng = np.random.default_rng(0)
    features = [rng.normal(size=(64, 12)).astype(np.float32)]
    scores = features[0] @ rng.normal(size=12) + 50
    head = quick_jit(lambda key, f: LinearityHead().init(key, f, train=False))(jax.random.key(0), features)
    variables = {name: {"head": head[name], "backbone": {"kernel": np.ones(3)}} for name in ("params", "batch_stats")}
    warm = fit_head(variables, features, scores, 60, jax.random.key(0))
    assert srocc(outputs_from(warm, features), scores) > 0.9
    assert abs(srocc(outputs_from(variables, features), scores)) < 0.7
    assert warm["params"]["backbone"] is variables["params"]["backbone"]


@pytest.mark.parametrize(
    ("decay", "expected"),
    [("steps", [1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01]), ("cosine", (1 + np.cos(np.pi * np.arange(9) / 9)) / 2)],
)
def test_rates_follow_the_schedule_and_the_part(decay, expected):
    config = dataclasses.replace(CONFIG, decay=decay, backbone_factor=4, train_from="second")
    params = {"head": {"a": jnp.ones(1)}, "backbone": {"second": jnp.ones(1), "first_bn": jnp.ones(1)}}
    optimizer = make_optimizer(config, 9)
    state, moved = optimizer.init(params), []
    update = quick_jit(optimizer.update)
    for _ in range(9):  # Adam moves by its rate under a constant gradient
        updates, state = update(params, state, params)
        moved.append([-float(leaf[0]) for leaf in jax.tree.leaves(updates)])
    frozen, backbone, head = np.array(moved).T
    np.testing.assert_allclose(head, config.learning_rate * np.asarray(expected), rtol=1e-4)
    np.testing.assert_allclose(backbone, 4 * head, rtol=1e-4)
    assert (frozen == 0).all()


def test_a_frozen_block_is_labelled_so():
    params = {"block": {"cayley": {"kernel": 0}}, "head": {"kernel": 0}}
    labels = part_labels(dataclasses.replace(PROJECTED, freeze_block=True), params)
    assert labels == {"block": {"cayley": {"kernel": "frozen"}}, "head": {"kernel": "fresh"}}
    assert part_labels(PROJECTED, params)["block"] == {"cayley": {"kernel": "fresh"}}


def test_reestimated_statistics_are_those_of_the_batch(tiny_training):
    variables = start(CONFIG, tiny_training)
    load = resized(tiny_training, SPEC.input_size)
    module, count = build(SPEC), len(tiny_training)
    found = reestimate_batch_stats(module, SPEC, variables, load, count)
    images = normalise(SPEC, jnp.stack([load(i) for i in range(count)]) / 255)
    kernel, bias = (np.asarray(variables["params"]["backbone"]["first"][name]) for name in ("kernel", "bias"))
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(images, ((0, 0), (0, 1), (0, 1), (0, 0))), (3, 3), (1, 2))
    first = np.einsum("nhwcij,ijcf->nhwf", windows[:, ::2, ::2], kernel) + bias
    stats = found["batch_stats"]["backbone"]["first_bn"]
    np.testing.assert_allclose(stats["mean"], first.mean((0, 1, 2)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(stats["var"], first.var((0, 1, 2), ddof=1), rtol=1e-4)
    # the layer behind sees what is normalised by the batch's own: in evaluation as the network in training mode
    features = quick_jit(lambda v, x: module.apply(v, x, method="features"))(found, images)
    expected, _ = quick_jit(
        lambda v, x: module.apply(v, x, train=True, mutable=["batch_stats"], method="features")
    )(variables, images)  # fmt: skip
    for a, b in zip(features, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0.02, atol=0.02)  # Bessel's correction


FROZEN = dataclasses.replace(
    CONFIG, accumulate=1, ema=None, steps=3, train_from="second", backbone_stats="frozen", flip=False, head_epochs=2
)


@pytest.fixture(scope="module")
def frozen(tiny_training, tmp_path_factory):
    folder = tmp_path_factory.mktemp("frozen")
    train(FROZEN, tiny_training, folder)
    return folder


def test_frozen_parts_do_not_move(frozen, tiny_training):
    before, after = start(FROZEN, tiny_training), checkpoint.load(frozen).variables
    flat = [
        traverse_util.flatten_dict(tree, sep="/")
        for tree in (part_labels(FROZEN, before["params"]), before["params"], dict(after["params"]))
    ]
    moved = {name: bool((np.asarray(flat[1][name]) != np.asarray(flat[2][name])).any()) for name in flat[0]}
    assert not any(moved[name] for name, label in flat[0].items() if label == "frozen")
    # biases before a batch normalisation have no gradient
    assert all(moved[name] for name, label in flat[0].items() if label != "frozen" and name.endswith("kernel"))
    stats = [variables["batch_stats"]["backbone"] for variables in (before, after)]
    jax.tree.map(np.testing.assert_array_equal, *stats)


def test_the_steps_start_from_the_fitted_head(tiny_training, tmp_path, monkeypatch):
    ready = []
    monkeypatch.setattr(loop, "take_steps", lambda job, start, on_step: ready.append(start) or start.state)
    train(FROZEN, tiny_training, tmp_path)
    before, (after,) = start(FROZEN, tiny_training)["params"], ready
    heads = [traverse_util.flatten_dict(params["head"], sep="/") for params in (before, after.state.params)]
    assert all((heads[0][name] != heads[1][name]).any() for name in heads[0] if name.endswith("kernel"))
    jax.tree.map(np.testing.assert_array_equal, after.state.params["backbone"], before["backbone"])


def test_cached_maps_train_as_photos_do(frozen, tiny_training, tmp_path):
    seen = []
    train(
        dataclasses.replace(FROZEN, cache_frozen=True), tiny_training, tmp_path,
        on_photos=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    np.testing.assert_allclose(losses(tmp_path), losses(frozen), rtol=0.02)  # the maps are kept in half precision
    assert len(list((tmp_path / "frozen_maps").glob("*/*.npy"))) == len(tiny_training)
    assert seen == [(i, 8) for i in range(1, 9)]


@pytest.mark.slow
def test_pruned_filters_stay_zero_and_batch_statistics_are_those_of_the_pruned_network(
    finished_run, tiny_training, tmp_path
):
    config = dataclasses.replace(FROZEN, prune=0.3, start_from=finished_run, train_from=None, head_epochs=0)
    scorer = train(config, tiny_training, tmp_path)
    variables = start(config, tiny_training)
    masks = l2_filter_masks(variables["params"], 0.3)
    variables = {**variables, "params": apply_masks(variables["params"], masks)}
    load = resized(tiny_training, SPEC.input_size)
    expected = reestimate_batch_stats(build(SPEC), SPEC, variables, load, len(tiny_training))
    stats = scorer.variables["batch_stats"]["backbone"], expected["batch_stats"]["backbone"]
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, *stats)))
    flat = traverse_util.flatten_dict(dict(scorer.variables["params"]), sep="/")
    assert any((np.asarray(mask) == 0).any() for mask in masks.values())
    for path, mask in masks.items():
        off = np.flatnonzero(np.asarray(mask) == 0)
        assert not np.asarray(flat[path])[..., off].any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 50}, "8 training photos do not fill a batch of 50"),
        ({"crop": 100}, r"^crop 100: must lie in 1\.\.32"),
        ({"crop": 17, "cache_frozen": True, "train_from": "second", "backbone_stats": "frozen"}, r"lie in 1\.\.16"),
        ({"train_from": "layer9"}, "^train_from layer9: not a feature map; choose one of first, "),
        ({"model": dataclasses.replace(SPEC, taps=("first", "neck"))}, "no feature map 'neck'; choose one of first, "),
        ({"prune": 1.5}, r"amount must lie in \[0, 1\)"),
        ({"prune_method": "random"}, "unknown method 'random'; choose one of l1, l2, pls, displs, hsic"),
        ({"cache_frozen": True}, "^cache_frozen: needs train_from"),
        ({"cache_frozen": True, "train_from": "second"}, "^cache_frozen: needs backbone_stats frozen"),
        ({"model": ModelSpec("tres", "resnet50", ()), "head_epochs": 1}, "^head_epochs: only LinearityIQA has it"),
    ],
)
def test_settings_that_do_not_fit_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        resolve(dataclasses.replace(CONFIG, **changes), np.arange(8.0))


@pytest.mark.slow
def test_killed_run_ends_bit_identical_to_the_uninterrupted_one(tmp_path):
    table = photo_tables.write_photo_table(tmp_path)
    spec = ModelSpec(backbone="efficientnet_lite0", input_size=(64, 64), block=BlockSpec(at="stage5", mid_channels=24))
    own = dataclasses.replace(PROJECTED, model=spec, steps=8, learning_rate=1e-3, checkpoint_every=2)
    config = tmp_path / "config.py"
    config.write_text(
        "from robust_iqa_jax.training.config import *\nfrom robust_iqa_jax.models.spec import *\n"
        f"get_config = lambda: {own!r}\n"
    )

    def command(name):
        return [
            *(sys.executable, "-m", "robust_iqa_jax.cli", "train", str(config), "--data", str(table)),
            *("--workdir", str(tmp_path / name)),
        ]

    subprocess.run(command("whole"), check=True, capture_output=True, timeout=250, cwd=tmp_path)
    log = tmp_path / "killed" / "metrics.jsonl"
    process = subprocess.Popen(command("killed"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path)
    while process.poll() is None and not (log.exists() and len(log.read_text().splitlines()) >= 5):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / "model" / "model.json").exists()
    subprocess.run(command("killed"), check=True, capture_output=True, timeout=250, cwd=tmp_path)
    assert_same_model(tmp_path / "killed", tmp_path / "whole")
    steps = [json.loads(line)["step"] for line in log.read_text().splitlines()]
    assert steps == list(range(1, 9))
