"""Training end to end on a few real photos: it learns, it prunes, and a killed run ends as the uninterrupted one."""

import dataclasses
import json
import os
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

from robust_iqa_jax.data.images import resize_image
from robust_iqa_jax.data.open import open_photos, split_photos
from robust_iqa_jax.data.pipeline import resized
from robust_iqa_jax.defenses.magnitude import l2_filter_masks
from robust_iqa_jax.defenses.masks import apply_masks
from robust_iqa_jax.metrics.accuracy import srocc
from robust_iqa_jax.models import checkpoint
from robust_iqa_jax.models.registry import build, normalise
from robust_iqa_jax.models.spec import BlockSpec, ModelSpec
from robust_iqa_jax.training.batch_stats import reestimate_batch_stats
from robust_iqa_jax.training.calibration import predict
from robust_iqa_jax.training.config import TrainConfig
from robust_iqa_jax.training.features import outputs_from
from robust_iqa_jax.training.head import fit_head
from robust_iqa_jax.training.loop import initial_variables, train
from robust_iqa_jax.training.optimizer import make_optimizer, part_labels

pytestmark = pytest.mark.usefixtures("shallow")

SPEC = ModelSpec(backbone="shallow", input_size=(64, 64), block=BlockSpec(at="stage5", mid_channels=24))
CONFIG = TrainConfig(
    model=SPEC, block_start="projection", steps=8, batch_size=4, learning_rate=1e-3, checkpoint_every=2
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory, shallow):
    return split_photos(open_photos(photo_tables.write_photo_table(tmp_path_factory.mktemp("photos"))), "test")


@pytest.fixture(scope="module")
def trained(photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return train(CONFIG, photos[0], folder), folder


def test_loss_falls_and_every_step_is_logged(trained):
    lines = [json.loads(line) for line in (trained[1] / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 9))
    losses = [line["loss"] for line in lines]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
    assert list((trained[1] / "tensorboard").iterdir())


def test_calibrated_scores_lie_on_the_scale_of_the_table(trained, photos):
    scorer, _ = trained
    scores = predict(scorer, photos[0])
    assert np.mean(scores) == pytest.approx(np.mean(photos[0].scores), abs=1)  # least squares keeps the mean
    assert scores.min() == pytest.approx(float(scorer.calibration.low), abs=0.5)
    assert scores.max() == pytest.approx(float(scorer.calibration.high), abs=0.5)


def test_stored_scorer_gives_the_same_scores(trained, photos):
    scorer, folder = trained
    loaded = checkpoint.load(folder)  # the work folder stands for its model
    np.testing.assert_allclose(predict(loaded, photos[1]), predict(scorer, photos[1]), rtol=1e-6)
    assert loaded.spec == SPEC
    assert loaded.label == "mos"


@pytest.mark.parametrize(("start", "low", "high"), [("projection", 0.0, 0.8), ("random", 0.9, np.inf)])
def test_projection_start_keeps_most_of_the_map_and_a_random_block_does_not(start, low, high, photos):
    variables = initial_variables(dataclasses.replace(CONFIG, block_start=start), photos[0])
    module = build(SPEC)
    images = jnp.stack([resize_image(photos[0].load(i), (64, 64)) for i in range(8)]) / 255
    own = {name: variables[name]["backbone"] for name in ("params", "batch_stats")}
    plain = module.backbone.apply(own, normalise(SPEC, images), train=False)["stage5"]
    replaced = module.block.apply({"params": variables["params"]["block"]}, plain)
    error = float(jnp.linalg.norm(replaced - plain) / jnp.linalg.norm(plain))
    assert low <= error < high


@pytest.mark.parametrize(("at", "channels"), [("stage5", 112), ("input", 3)])
def test_projection_start_is_exact_for_the_centred_map_in_the_span_of_its_directions(at, channels, photos):
    full = dataclasses.replace(SPEC, block=BlockSpec(at=at, mid_channels=channels))
    variables = initial_variables(dataclasses.replace(CONFIG, model=full), photos[0])
    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 4, 4, channels)), jnp.float32)
    y = build(full).block.apply({"params": variables["params"]["block"]}, x)
    # with as many directions as channels the projection is the identity
    np.testing.assert_allclose(y, x, atol=2e-4)


@pytest.mark.slow
def test_cached_maps_train_as_photos_do(photos, tmp_path):
    config = dataclasses.replace(
        CONFIG, train_from="stage6", backbone_stats="frozen", flip=False, head_epochs=2, steps=3
    )
    losses = []
    for cached in (False, True):
        folder = tmp_path / str(cached)
        train(dataclasses.replace(config, cache_frozen=cached), photos[0], folder)
        losses.append([json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()])
    np.testing.assert_allclose(losses[0], losses[1], rtol=0.02)  # the maps are kept in half precision
    assert len(list((tmp_path / "True" / "frozen_maps").glob("*/*.npy"))) == len(photos[0])


def test_head_warm_up_fits_the_head_and_nothing_else(photos):
    variables = initial_variables(CONFIG, photos[0])
    rng = np.random.default_rng(0)
    features = [rng.normal(size=(96, width)).astype(np.float32) for width in (112, 192, 320)]
    scores = features[0] @ rng.normal(size=112) + 50
    warmed = fit_head(variables, features, scores, 30, jax.random.key(0))
    assert srocc(outputs_from(warmed, features), scores) > 0.9
    assert abs(srocc(outputs_from(variables, features), scores)) < 0.7
    for part in ("backbone", "block"):
        assert warmed["params"][part] is variables["params"][part]


@pytest.mark.parametrize(
    ("decay", "expected"),
    [("steps", [1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01]), ("cosine", (1 + np.cos(np.pi * np.arange(9) / 9)) / 2)],
)
def test_rates_follow_the_schedule_and_the_part(decay, expected):
    config = dataclasses.replace(CONFIG, decay=decay, backbone_factor=4, train_from="stage2")
    params = {"head": {"a": jnp.ones(1)}, "backbone": {"stage2_block1": jnp.ones(1), "stage1_block1": jnp.ones(1)}}
    optimizer = make_optimizer(config, 9)
    state, moved = optimizer.init(params), []
    for _ in range(9):  # Adam moves by its rate under a constant gradient
        updates, state = optimizer.update(params, state, params)
        moved.append([-float(leaf[0]) for leaf in jax.tree.leaves(updates)])
    frozen, backbone, head = np.array(moved).T
    np.testing.assert_allclose(head, config.learning_rate * np.asarray(expected), rtol=1e-4)
    np.testing.assert_allclose(backbone, 4 * head, rtol=1e-4)
    assert (frozen == 0).all()


def test_reestimated_statistics_are_those_of_the_batch(photos):
    variables = initial_variables(CONFIG, photos[0])
    load = resized(photos[0], SPEC.input_size)
    found = reestimate_batch_stats(CONFIG, variables, load, len(photos[0]))
    assert len(photos[0]) <= 32  # one batch, so that running averages in evaluation must do what the batch's own do
    images = normalise(SPEC, jnp.stack([load(i) for i in range(len(photos[0]))]) / 255)
    module = build(SPEC)
    expected, _ = module.apply(variables, images, train=True, mutable=["batch_stats"], method="features")
    actual = module.apply(found, images, method="features")
    before = module.apply(variables, images, method="features")
    for a, b, c in zip(actual, expected, before, strict=True):
        # Bessel's correction for 48 pixels and more adds up over sixteen normalised blocks: .04, .06 and .25 measured
        assert np.abs(np.asarray(a - b)).max() < 0.3 * np.abs(np.asarray(b - c)).max()


@pytest.mark.slow
def test_pruned_filters_stay_zero_and_batch_statistics_are_those_of_the_pruned_network(trained, photos, tmp_path):
    config = dataclasses.replace(CONFIG, prune=0.1, start_from=trained[1], steps=3, backbone_stats="frozen")
    scorer = train(config, photos[0], tmp_path)
    variables = initial_variables(config, photos[0])
    masks = l2_filter_masks(variables["params"], 0.1)
    variables = {**variables, "params": apply_masks(variables["params"], masks)}
    expected = reestimate_batch_stats(config, variables, resized(photos[0], SPEC.input_size), len(photos[0]))
    stats = scorer.variables["batch_stats"]["backbone"], expected["batch_stats"]["backbone"]
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, *stats)))
    flat = {
        "/".join(str(k.key) for k in path): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(scorer.variables["params"])
    }
    assert "block/cayley/kernel" in masks
    for path, mask in masks.items():
        off = np.flatnonzero(np.asarray(mask) == 0)
        assert not np.asarray(flat[path])[..., off].any()
        on = np.flatnonzero(np.asarray(mask))
        assert np.abs(np.asarray(flat[path])[..., on]).min(axis=-1).max() > 0


def test_frozen_parts_do_not_move(photos, tmp_path):
    config = dataclasses.replace(
        CONFIG, steps=2, train_from="stage6", freeze_block=True, backbone_stats="frozen", crop=48, block_start="random"
    )
    before = initial_variables(config, photos[0])
    after = train(config, photos[0], tmp_path).variables
    flat = [
        traverse_util.flatten_dict(tree, sep="/")
        for tree in (part_labels(config, before["params"]), before["params"], dict(after["params"]))
    ]
    moved = {name: bool((np.asarray(flat[1][name]) != np.asarray(flat[2][name])).any()) for name in flat[0]}
    assert not any(moved[name] for name, label in flat[0].items() if label == "frozen")
    # biases before a batch normalisation have no gradient, nor has what no tap depends on (the backbone's head)
    learning = [name for name, label in flat[0].items() if label != "frozen" and name.endswith("kernel")]
    assert all(moved[name] for name in learning if not name.startswith("backbone/head/"))
    assert any(name.startswith("backbone/stage6") for name in moved if moved[name])
    for a, b in zip(
        jax.tree.leaves(before["batch_stats"]["backbone"]),
        jax.tree.leaves(after["batch_stats"]["backbone"]),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_a_folder_of_another_run_is_refused(trained, photos):
    with pytest.raises(ValueError, match="holds a run with other batch_size; choose another --workdir"):
        train(dataclasses.replace(CONFIG, batch_size=5), photos[0], trained[1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 50}, "8 training photos do not fill a batch of 50"),
        ({"crop": 100}, r"--crop 100: must lie in 1\.\.64"),
        ({"train_from": "layer9"}, "--train-from layer9: not a feature map; choose one of stem, "),
        ({"model": dataclasses.replace(SPEC, taps=("stage5", "neck"))}, "no feature map 'neck'; choose one of stem, "),
        ({"prune": 1.5}, r"amount must lie in \[0, 1\)"),
        ({"prune_method": "random"}, "unknown method 'random'; choose one of l1, l2, pls, displs, hsic"),
        ({"cache_frozen": True}, "--cache-frozen: needs --train-from"),
        ({"cache_frozen": True, "train_from": "stage6"}, "--cache-frozen: needs --backbone-stats frozen"),
    ],
)
def test_settings_that_do_not_fit_are_named(changes, message, photos, tmp_path):
    with pytest.raises(ValueError, match=message):
        train(dataclasses.replace(CONFIG, **changes), photos[0], tmp_path)


@pytest.mark.slow
def test_killed_run_ends_bit_identical_to_the_uninterrupted_one(tmp_path):
    table = photo_tables.write_photo_table(tmp_path)
    own = dataclasses.replace(CONFIG, model=dataclasses.replace(SPEC, backbone="efficientnet_lite0"))
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
