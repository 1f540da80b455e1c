"""Runs that end early: by SIGTERM, by a loss that is not finite, by early stopping; and what is left then."""

import dataclasses
import json
import os
import signal
import threading
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from finished_runs import assert_same_model
from quick_models import quick_jit
from scipy import stats
from small_run import CONFIG, SPEC

from robust_iqa_jax.cli import main
from robust_iqa_jax.data.open import split_photos
from robust_iqa_jax.evaluation.predictions import predict
from robust_iqa_jax.models.registry import init
from robust_iqa_jax.models.scorer import Calibration, Scorer
from robust_iqa_jax.setting_error import with_options
from robust_iqa_jax.training.loop import train
from robust_iqa_jax.training.optimizer import make_optimizer
from robust_iqa_jax.training.resume import RunCheckpoints
from robust_iqa_jax.training.run import resolve
from robust_iqa_jax.training.step import init_state, train_step
from robust_iqa_jax.training.termination import Terminated, preemption
from robust_iqa_jax.training.validation import Validation

pytestmark = pytest.mark.usefixtures("hardly_optimised", "tiny_photos")


def steps_of(folder):
    return [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_sigterm_loses_no_step_and_the_rest_is_as_if_it_had_not_come(finished_run, tiny_training, tmp_path):
    def end_at_three(step, total, metrics):
        if step == 2:  # noted here, between two steps: the third is the one that ends
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated, match="ended by SIGTERM after step 3 of 6; the same command goes on from it"):
        train(CONFIG, tiny_training, tmp_path, end_at_three)
    assert signal.getsignal(signal.SIGTERM) is before
    assert steps_of(tmp_path) == [1, 2, 3]
    resumed = []
    train(CONFIG, tiny_training, tmp_path, lambda step, total, metrics: resumed.append(step))
    assert resumed == [4, 5, 6]
    assert steps_of(tmp_path) == [1, 2, 3, 4, 5, 6]
    assert_same_model(tmp_path, finished_run)


def test_a_second_sigterm_acts_as_before():
    received = []
    before = signal.signal(signal.SIGTERM, lambda *_: received.append("before"))
    try:
        with preemption(lambda step: False) as ends:
            assert not ends(1)
            os.kill(os.getpid(), signal.SIGTERM)
            assert ends(2)
            assert not received
            os.kill(os.getpid(), signal.SIGTERM)
            assert received == ["before"]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_several_processes_ask_jax_and_other_threads_leave_signals_alone(monkeypatch):
    before, seen = signal.getsignal(signal.SIGTERM), []

    def in_thread():
        with preemption(lambda step: True) as ends:
            seen.append((ends(1), signal.getsignal(signal.SIGTERM) is before))

    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join()
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with preemption(lambda step: step == 7) as ends:
        seen += [(ends(step), signal.getsignal(signal.SIGTERM) is before) for step in (6, 7)]
    assert seen == [(False, True), (False, True), (True, True)]


def test_the_command_says_so_in_one_line_and_ends_with_143(monkeypatch, capsys):
    def ended(args):
        raise Terminated("ended by SIGTERM after step 3 of 6; the same command goes on from it")

    monkeypatch.setattr("robust_iqa_jax.commands.train.main", ended)
    assert main(["train", "x"]) == 143
    assert capsys.readouterr().err == (
        "riqa train: ended by SIGTERM after step 3 of 6; the same command goes on from it\n"
    )


def test_a_loss_that_is_not_finite_leaves_the_state_before_it_and_the_batch(tiny_training, tmp_path):
    scores = tiny_training.scores.copy()
    scores[3] = np.nan
    broken = dataclasses.replace(tiny_training, scores=scores)
    seen, message = [], r"step \d+: the loss is nan, .*failed_batch_0.npz has the batch and the same command repeats"
    with pytest.raises(FloatingPointError, match=message) as caught:
        train(CONFIG, broken, tmp_path, lambda step, total, metrics: seen.append(step))
    assert str(caught.value).endswith("; lower learning_rate")
    assert with_options(caught.value).endswith("; lower --learning-rate")
    failed = dict(np.load(tmp_path / "failed_batch_0.npz"))
    assert failed["step"] == len(seen) + 1
    assert failed["inputs"].dtype == np.float32  # grey levels of photos that were resized
    assert 1 < failed["inputs"].max() <= 255
    assert np.isnan(failed["scores"]).any()
    with pytest.raises(FloatingPointError, match=f"step {len(seen) + 1}: "):
        train(CONFIG, broken, tmp_path, lambda step, total, metrics: seen.append(step))
    assert len(seen) == failed["step"] - 1  # no step before it was repeated
    again = dict(np.load(tmp_path / "failed_batch_0.npz"))
    for name, array in failed.items():
        np.testing.assert_array_equal(again[name], array, err_msg=name)

    run, variables = resolve(CONFIG, broken.scores), quick_jit(init, static_argnums=0)(SPEC, jax.random.key(0))
    with RunCheckpoints(tmp_path / "checkpoints", 100) as checkpoints:
        state = checkpoints.restore(init_state(variables, run.optimizer, {}, averages=True)).state
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))
    assert state.step == failed["step"] - 1
    step = run.devices.compile(partial(train_step, run))  # takes the memory of what it is given
    same, metrics = step(jax.tree.map(jnp.copy, state), failed["inputs"], failed["scores"])
    assert np.isnan(metrics["loss"])
    jax.tree.map(np.testing.assert_array_equal, same, state)
    np.testing.assert_array_equal(failed["key"], jax.random.key_data(jax.random.key(CONFIG.seed)))


def test_a_run_ends_after_its_patience_and_the_best_weights_become_the_model(tiny_training, tmp_path, monkeypatch):
    # the second of two equal ones is no better
    monkeypatch.setattr("robust_iqa_jax.training.validation.srocc", lambda scores, mos: found.pop(0))
    found = [0.1, 0.5, 0.3, 0.5]
    config = dataclasses.replace(CONFIG, validate_every=1, patience=2, validation_group="v", checkpoint_every=100)

    def end_at_three(step, total, metrics):
        if step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Terminated):  # what it has seen survives an interruption
        train(config, tiny_training, tmp_path, end_at_three, validation=tiny_training)
    scorer = train(config, tiny_training, tmp_path, validation=tiny_training)
    assert found == []
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["validation_srocc"]) for line in lines] == [(1, 0.1), (2, 0.5), (3, 0.3), (4, 0.5)]
    with RunCheckpoints(tmp_path / "checkpoints", 100) as checkpoints:
        like = init_state(
            quick_jit(init, static_argnums=0)(SPEC, jax.random.key(0)), make_optimizer(config, 6), {}, True
        )
        kept = {step: checkpoints.restore(like, step) for step in (2, 3, 4)}
    assert len(list((tmp_path / "checkpoints").glob("[0-9]*"))) == 3
    assert kept[4].evaluations == [(1, 0.1), (2, 0.5), (3, 0.3), (4, 0.5)]
    jax.tree.map(np.testing.assert_array_equal, dict(scorer.variables), kept[2].state.trained)
    again = train(
        config,
        tiny_training,
        tmp_path,
        lambda *_: pytest.fail("a run that has ended goes on"),
        validation=tiny_training,
    )
    jax.tree.map(np.testing.assert_array_equal, again.variables, scorer.variables)


@pytest.mark.slow
def test_the_last_weights_become_the_model_where_the_run_says_so(tiny_training, tmp_path, monkeypatch):
    seen = iter([0.5, 0.1])
    monkeypatch.setattr("robust_iqa_jax.training.validation.srocc", lambda scores, mos: next(seen))
    config = dataclasses.replace(CONFIG, validate_every=1, validation_group="v", steps=2, keep="last")
    scorer = train(config, tiny_training, tmp_path, validation=tiny_training)
    like = init_state(quick_jit(init, static_argnums=0)(SPEC, jax.random.key(0)), make_optimizer(config, 2), {}, True)
    with RunCheckpoints(tmp_path / "checkpoints", 100) as checkpoints:
        states = {step: checkpoints.restore(like, step).state.trained for step in (1, 2)}
    jax.tree.map(np.testing.assert_array_equal, dict(scorer.variables), states[2])
    assert any((a != b).any() for a, b in zip(*(jax.tree.leaves(states[step]) for step in (1, 2)), strict=True))


def test_validation_measures_the_srocc_of_the_model_as_it_stands(tiny_photos):
    validation = Validation(dataclasses.replace(CONFIG, validation_group="test"), tiny_photos, 10)
    variables = quick_jit(init, static_argnums=0)(SPEC, jax.random.key(0))
    found = validation.evaluate(3, variables)
    scores = predict(Scorer(variables, Calibration.identity(), SPEC), tiny_photos)
    assert found == stats.spearmanr(scores, tiny_photos.scores).statistic
    assert validation.evaluations == [(3, found)]
    assert [step for step in range(1, 8) if validation.due(step, total=7)] == [2, 4, 6, 7]  # 10 photos, batches of 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patience": 3}, "^patience 3: needs validation_group"),
        ({"validate_every": 10}, "^validate_every 10: needs validation_group"),
    ],
)
def test_evaluations_without_photos_are_refused(changes, message, tiny_training, tmp_path):
    with pytest.raises(ValueError, match=message):
        train(dataclasses.replace(CONFIG, **changes), tiny_training, tmp_path)


def test_the_validation_group_is_neither_trained_nor_tested_on(tiny_photos):
    folds = dataclasses.replace(tiny_photos, groups=tuple("abcd"[i % 4] for i in range(len(tiny_photos))))
    training, test = split_photos(folds, "b", "d")
    assert set(training.groups) == {"a", "c"}
    assert set(test.groups) == {"b"}
    with pytest.raises(ValueError, match=r"^validation_group e: not in the data; its groups are a, b, c, d"):
        split_photos(folds, "b", "e")
    with pytest.raises(ValueError, match=r"^validation_group b: is the test group; choose another one"):
        split_photos(folds, "b", "b")
