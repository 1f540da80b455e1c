"""Training steps with gradient-norm regularisation, adversarial training and both, on a tiny model."""

import dataclasses
import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import photo_tables
import pytest
import tiny_backbone
from quick_models import quick_jit

from robust_iqa_jax.attacks import pgd
from robust_iqa_jax.data.open import open_photos, split_photos
from robust_iqa_jax.data.pipeline import crop_and_flip
from robust_iqa_jax.defenses.adversarial_training import AdversarialConfig
from robust_iqa_jax.defenses.consistency import ConsistencyConfig
from robust_iqa_jax.defenses.distillation import DistillationConfig, taught_labels
from robust_iqa_jax.defenses.gradient_norm import GradientNormConfig
from robust_iqa_jax.defenses.magnitude import l2_filter_masks
from robust_iqa_jax.defenses.masks import apply_masks
from robust_iqa_jax.models import checkpoint
from robust_iqa_jax.models.registry import build, init, normalise
from robust_iqa_jax.models.scorer import Calibration, Scorer
from robust_iqa_jax.models.spec import BlockSpec, ModelSpec
from robust_iqa_jax.training.config import TrainConfig
from robust_iqa_jax.training.loop import train
from robust_iqa_jax.training.optimizer import make_optimizer
from robust_iqa_jax.training.run import resolve
from robust_iqa_jax.training.step import init_state, step_keys, train_step

SPEC = ModelSpec(backbone="tiny", taps=("first", "second"), input_size=(32, 32))
CONFIG = TrainConfig(model=SPEC, batch_size=8, learning_rate=1e-3, backbone_factor=1, decay="cosine")
EMA = 0.9
NT = GradientNormConfig(weight=3e-2, relative=True)
AT = AdversarialConfig(label_range=(0.0, 100.0))
CONSISTENCY = ConsistencyConfig(beta=3, eps=8 / 255)
RNG = np.random.default_rng(0)
CONTRAST = RNG.uniform(0.1, 1, 8)
PHOTOS = np.uint8(127 + 127 * CONTRAST[:, None, None, None] * RNG.uniform(-1, 1, (8, 32, 32, 3)))
SCORES = np.float32(100 * CONTRAST)


@pytest.fixture(scope="module", autouse=True)
def tiny():
    with tiny_backbone.registered():
        yield


@pytest.fixture(scope="module")
def variables(tiny):
    return quick_jit(init, static_argnums=0)(SPEC, jax.random.key(0))


def step_of(config, optimizer):
    """The step of a run on these photos, with an optimiser of the test's own."""
    return quick_jit(partial(train_step, dataclasses.replace(resolve(config, SCORES), optimizer=optimizer)))


def run(config, variables, steps, prune=0.0):
    optimizer = make_optimizer(config, steps)
    masks = l2_filter_masks(variables["params"], prune) if prune else {}
    variables = {**variables, "params": apply_masks(variables["params"], masks)}
    states, metrics = [init_state(variables, optimizer, masks, config.ema is not None)], []
    step = step_of(config, optimizer)
    for _ in range(steps):
        state, values = step(states[-1], jnp.asarray(PHOTOS), jnp.asarray(SCORES))
        states.append(state)
        metrics.append({name: float(value) for name, value in values.items()})
    return states, metrics


@pytest.fixture(scope="module")
def plain(variables):
    return run(dataclasses.replace(CONFIG, ema=EMA), variables, 30)


@pytest.fixture(scope="module")
def regularised(variables):
    return run(dataclasses.replace(CONFIG, gradient_norm=NT), variables, 30)


def relative_gradient(state):
    """Mean l1 norm of the gradient in normalised values, in standard deviations of the scores."""
    module, trained = build(SPEC), {"params": state.params, "batch_stats": state.batch_stats}
    score = lambda x: module.apply(trained, x, train=False)[:, -1]  # noqa: E731
    x = normalise(SPEC, jnp.asarray(PHOTOS, jnp.float32) / 255)
    gradient = quick_jit(jax.grad(lambda x: score(x).sum()))(x)
    return float(jnp.abs(gradient).sum((1, 2, 3)).mean() / quick_jit(score)(x).std())


def test_the_penalty_is_a_part_of_the_loss_and_leaves_running_averages_alone(plain, regularised):
    first, other = regularised[1][0], plain[1][0]
    stats = [states[1].batch_stats for states, _ in (plain, regularised)]
    assert first["gradient_penalty"] > 0
    assert first["loss"] == pytest.approx(other["loss"] + NT.weight * first["gradient_penalty"], rel=1e-4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), *stats)


def test_regularised_scores_have_a_smaller_gradient_than_plain_ones(plain, regularised):
    assert relative_gradient(regularised[0][-1]) < 0.8 * relative_gradient(plain[0][-1])
    assert regularised[1][-1]["loss"] < regularised[1][0]["loss"]
    assert all(np.isfinite(list(values.values())).all() for values in regularised[1])


def test_scores_trained_for_consistency_move_less_under_attack_for_their_range(plain, variables):
    states, metrics = run(dataclasses.replace(CONFIG, consistency=CONSISTENCY), variables, 30)
    assert metrics[0]["eps"] < metrics[-1]["eps"] == pytest.approx(CONSISTENCY.eps)
    last = metrics[-1]
    assert last["loss"] == pytest.approx(last["clean_loss"] + CONSISTENCY.beta * last["score_distance"], rel=1e-5)
    for after, before in zip(*map(jax.tree.leaves, (states[-1].batch_stats, variables["batch_stats"])), strict=True):
        np.testing.assert_array_equal(after, before)
    assert relative_gain(states[-1]) < 0.75 * relative_gain(plain[0][-1])


def test_a_taught_step_is_a_step_on_the_labels_that_the_teacher_is_part_of(variables, tmp_path):
    teacher = Scorer(variables, Calibration(*map(jnp.float32, (20, 50, 10, 90))), SPEC)
    checkpoint.save(tmp_path, teacher)
    consistent = dataclasses.replace(CONFIG, consistency=CONSISTENCY)
    taught = dataclasses.replace(consistent, distillation=DistillationConfig(str(tmp_path), share=0.4))
    optimizer = make_optimizer(CONFIG, 1)
    images = jnp.asarray(PHOTOS)
    labels = taught_labels(teacher, 0.4, images / 255, jnp.asarray(SCORES))
    steps = [
        step_of(config, optimizer)(init_state(variables, optimizer, {}), images, scores)[1]
        for config, scores in ((consistent, labels), (taught, jnp.asarray(SCORES)), (consistent, jnp.asarray(SCORES)))
    ]
    assert steps[1]["loss"] == pytest.approx(float(steps[0]["loss"]), rel=1e-5)
    assert steps[1]["loss"] != pytest.approx(float(steps[2]["loss"]), rel=1e-3)


def relative_gain(state):
    """Mean gain of PGD over the spread of the clean scores."""

    def score(images):
        variables = {"params": state.params, "batch_stats": state.batch_stats}
        return build(SPEC).apply(variables, normalise(SPEC, images), train=False)[:, -1]

    images = jnp.asarray(PHOTOS, jnp.float32) / 255
    clean, attacked = score(images), score(pgd(eps=CONSISTENCY.eps, steps=4)(score, 0, images))
    return float((attacked - clean).mean() / clean.std())


@pytest.mark.slow
@pytest.mark.parametrize("block", [None, BlockSpec(at="first", mid_channels=4)])
def test_both_go_together_with_masks_and_with_the_block(block):
    spec = dataclasses.replace(SPEC, block=block)
    config = dataclasses.replace(
        CONFIG,
        model=spec,
        loss="linearity",
        monotonicity=0.1,
        gradient_norm=GradientNormConfig(space="pixels", statistics="batch"),
        adversarial=dataclasses.replace(AT, start="uniform", aim="change", statistics="batch", keep_clean=False),
    )
    states, metrics = run(config, quick_jit(init, static_argnums=0)(spec, jax.random.key(1)), 2, prune=0.25)
    state = states[-1]
    assert set(metrics[0]) == {"loss", "gradient_norm", "gradient_penalty", "label_penalty"}
    assert all(np.isfinite(list(values.values())).all() for values in metrics)
    for path, mask in state.masks.items():
        leaf = state.params
        for name in path.split("/"):
            leaf = leaf[name]
        assert not np.asarray(leaf)[..., np.asarray(mask) == 0].any()
    assert any((np.asarray(mask) == 0).any() for mask in state.masks.values())


def one_step(config, variables, prune=0.0):
    """Losses and variables after a step of gradient descent, in float64, where only the order of sums tells runs apart;
    not Adam's, which blows the rounding of gradients that are zero up to whole steps."""
    with jax.enable_x64(True):
        masks = l2_filter_masks(variables["params"], prune) if prune else {}
        wide = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf), jnp.float64), variables)
        optimizer = optax.sgd(1e-2)
        state = init_state({**wide, "params": apply_masks(wide["params"], masks)}, optimizer, masks)
        state, metrics = step_of(config, optimizer)(state, jnp.asarray(PHOTOS), jnp.asarray(SCORES))
        return jax.tree.map(np.asarray, (metrics, state.params, state.batch_stats))


@pytest.mark.parametrize(
    ("changes", "prune", "tolerance"),
    [
        pytest.param({}, 0.0, 1e-10, marks=pytest.mark.slow),
        ({"gradient_norm": NT, "adversarial": AT, "monotonicity": 0.1}, 0.25, 1e-6),  # NT divides rounding by its h
    ],
    ids=["norm-in-norm", "NT, AT and masks"],
)
def test_a_batch_in_parts_gives_the_step_of_the_whole_where_no_batch_statistics_are_between(
    changes, prune, tolerance, variables
):
    config = dataclasses.replace(CONFIG, backbone_stats="frozen", **changes)
    whole, parts = (one_step(dataclasses.replace(config, accumulate=k), variables, prune) for k in (1, 4))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance), parts, whole)
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), whole[1]["head"], variables["params"]["head"])
    assert max(jax.tree.leaves(moved)) > 100 * tolerance


def test_running_averages_move_with_each_part_of_a_batch(variables):
    _, _, found = one_step(dataclasses.replace(CONFIG, accumulate=2), variables)
    x, expected = normalise(SPEC, jnp.asarray(PHOTOS, jnp.float32) / 255), variables
    for rows in (x[0::2], x[1::2]):
        _, moved = build(SPEC).apply(expected, rows, train=True, mutable=["batch_stats"], method="features")
        expected = {**expected, **moved}
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
        found["backbone"],
        expected["batch_stats"]["backbone"],
    )


def test_the_average_weighs_every_step_by_its_age(plain):
    for count in (1, 4):
        states = plain[0][1 : count + 1]
        weights = EMA ** np.arange(count - 1, -1, -1) * (1 - EMA) / (1 - EMA**count)
        assert weights.sum() == pytest.approx(1)
        seen = [{"params": state.params, "batch_stats": state.batch_stats} for state in states]
        expected = jax.tree.map(lambda *leaves, w=weights: np.tensordot(w, np.stack(leaves), 1), *seen)
        trained = states[-1].trained
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), trained, expected)


def test_no_step_draws_what_another_or_another_stream_draws():
    run = resolve(CONFIG, SCORES)
    keys = [step_keys(run, jnp.int32(step), 3) for step in (0, 1)]
    data = np.concatenate([np.reshape(jax.random.key_data(key), (-1, 2)) for own in keys for key in own])
    assert len(np.unique(data, axis=0)) == len(data) == 2 * (1 + 3)


def test_adversarial_training_finds_the_range_of_the_labels_and_leaves_the_configuration_alone():
    config = dataclasses.replace(CONFIG, adversarial=AdversarialConfig())
    run = resolve(config, SCORES)
    assert run.adversarial.label_range == (SCORES.min(), SCORES.max())
    assert run.config is config
    assert resolve(dataclasses.replace(config, adversarial=AT), SCORES).adversarial is AT


@pytest.mark.slow
def test_an_adversarial_run_reports_its_label_penalty(tmp_path):
    photos, _ = split_photos(open_photos(photo_tables.write_photo_table(tmp_path / "a", count=8, side=40)), "test")
    config = dataclasses.replace(CONFIG, steps=2, batch_size=4, adversarial=AdversarialConfig(), loss="ranking")
    train(config, photos, tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert all(np.isfinite(line["loss"]) and 0 < line["label_penalty"] < 18 for line in lines)  # labels 82 to 100


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cache_frozen": True, "gradient_norm": NT}, "^cache_frozen: cached maps have no pixels for gradient_norm"),
        ({"cache_frozen": True, "adversarial": AT}, "^cache_frozen: cached maps have no pixels for adversarial"),
        ({"accumulate": 3}, "^accumulate 3: must divide the 8 photos that a device has of a batch"),
        ({"ema": 1.0}, "^ema 1.0: a decay lies between 0 and 1"),
        ({"loss": "cross-entropy"}, "^loss cross-entropy: not a loss; choose one of norm-in-norm, "),
        (
            {"loss": "absolute", "model": ModelSpec("tres", "resnet50", ())},
            "^loss, monotonicity: TReS is trained with a loss of its own",
        ),
    ],
)
def test_combinations_that_cannot_work_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        resolve(dataclasses.replace(CONFIG, **changes), SCORES)


def test_weight_decay_joins_the_gradient_before_adam():
    config = TrainConfig(learning_rate=0.1, weight_decay=0.5, decay="cosine")
    optimizer, gradient = make_optimizer(config, 10), np.array([0.3, -2.0, 0.0])
    with jax.enable_x64(True):
        params = {"head": {"bias": jnp.array([1.0, 2.0, -3.0])}}
        state = optimizer.init(params)
        w, m, v = np.array([1.0, 2.0, -3.0]), 0.0, 0.0
        for t in range(1, 4):
            updates, state = optimizer.update({"head": {"bias": jnp.asarray(gradient)}}, state, params)
            params = optax.apply_updates(params, updates)
            g = gradient + 0.5 * w
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            rate = 0.1 * 0.5 * (1 + np.cos(np.pi * (t - 1) / 10))
            w = w - rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
            np.testing.assert_allclose(params["head"]["bias"], w, rtol=1e-6)


def test_photos_are_mirrored_both_ways_independently():
    image, rng = np.arange(12).reshape(2, 2, 3), np.random.default_rng(0)
    augment = crop_and_flip((2, 2), None, True, True)
    drawn = [augment(image, rng).tobytes() for _ in range(400)]
    counts = [drawn.count(view.tobytes()) for view in (image, image[:, ::-1], image[::-1], image[::-1, ::-1])]
    assert sum(counts) == 400
    assert min(counts) > 70  # 100 each, 9 standard deviation
    one_way = crop_and_flip((2, 2), None, True)
    assert len({one_way(image, rng).tobytes() for _ in range(50)}) == 2
