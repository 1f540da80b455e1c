"""The training loop: a configuration and photos in, a calibrated Scorer and a work folder out; reads top to bottom.
Interrupted at any moment it goes on where the last checkpoint stands when it is called again."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from robust_iqa_jax.data.photo_set import PhotoSet, evenly_spread
from robust_iqa_jax.data.pipeline import Batches, resized, training_batches
from robust_iqa_jax.devices import Devices
from robust_iqa_jax.evaluation.predictions import predict
from robust_iqa_jax.files import check_space
from robust_iqa_jax.models import checkpoint
from robust_iqa_jax.models.architectures import architecture
from robust_iqa_jax.models.scorer import Calibration, Scorer
from robust_iqa_jax.training.calibration import calibrate
from robust_iqa_jax.training.closed_head import with_fitted_head
from robust_iqa_jax.training.config import TrainConfig
from robust_iqa_jax.training.guards import compiled_once, is_finite, not_finite
from robust_iqa_jax.training.linearity import cached_maps, fit_head, outputs_from, pooled_features
from robust_iqa_jax.training.metrics_log import MetricsLog
from robust_iqa_jax.training.objectives import output_loss
from robust_iqa_jax.training.pruning import prune_state, prune_variables
from robust_iqa_jax.training.resume import RunCheckpoints, best_step
from robust_iqa_jax.training.run import Load, Run, resolve, run_key
from robust_iqa_jax.training.start import initial_variables
from robust_iqa_jax.training.step import TrainState, init_state, train_step
from robust_iqa_jax.training.termination import Terminated, preemption
from robust_iqa_jax.training.validation import Validation
from robust_iqa_jax.training.workdir import own_workdir

CALIBRATED = 1_000
"""Most photos that the line from outputs to scores is fitted on, evenly spread: two numbers need no more."""
CHECKPOINTS = 4
"""States of a run on disk at once: the last two, the best one, and the one that is being written."""

OnStep = Callable[[int, int, dict[str, float]], None]
OnPhotos = Callable[[int, int], None]


@dataclass(frozen=True)
class Job:
    """What the phases of a run share: the run, its photos, where it writes, its evaluations."""

    run: Run
    photos: PhotoSet
    workdir: Path
    checkpoints: RunCheckpoints
    validation: Validation


@dataclass(frozen=True)
class Ready:
    """What the steps start from: the state after the steps of earlier calls, what one photo gives, batches of it."""

    state: TrainState
    load: Load
    batches: Batches


def train(
    config: TrainConfig,
    photos: PhotoSet,
    workdir: Path,
    on_step: OnStep = lambda step, total, metrics: None,
    on_photos: OnPhotos = lambda done, total: None,
    validation: PhotoSet | None = None,
) -> Scorer:
    """Train, prune or fine-tune one model as `config` says.

    Writes into `workdir`: config.json, metrics.jsonl, tensorboard/, checkpoints/ (resumable) and model/ (the result).

    Args:
      config: the run.
      photos: training photos.
      workdir: created where missing; a run found there is continued, a finished one is returned as it is.
      on_step: called after each step with (step, total steps, metrics), for a progress bar.
      on_photos: called with (done, total) while maps of the frozen part are made, where the run keeps them.
      validation: photos whose SROCC is measured during training; see `keep` of the configuration.

    Returns:
      the trained scorer, calibrated on `photos`.

    Raises:
      ValueError: the folder holds another configuration's run or files that are no run's, another process trains in
        it, the disk has no room for the run, or the configuration does not fit the photos.
      FloatingPointError: the loss or its gradient is not finite; the state before that step and its batch are saved.
      Terminated: SIGTERM came; the step that it came in is finished and saved.
    """
    run = resolve(config, photos.scores)
    evaluations = Validation(config, validation, len(photos))
    with own_workdir(config, workdir):
        with RunCheckpoints(workdir / "checkpoints", config.checkpoint_every) as checkpoints:
            job = Job(run, photos, workdir, checkpoints, evaluations)
            ready = set_up(job, on_photos)
            state = take_steps(job, ready, on_step)
        return finish(job, ready.load, state)


def set_up(job: Job, on_photos: OnPhotos) -> Ready:
    """Weights (pruned, where the run starts with that), batches, and the state that the steps go on from."""
    run, config, photos = job.run, job.run.config, job.photos
    variables, masks = initial_variables(run, photos), {}
    load = resized(photos, config.model.input_size)
    if 1 in run.pruning:
        variables, masks = prune_variables(run, run.pruning[1], variables, photos, load)
    state = init_state(variables, run.optimizer, masks, config.ema is not None)
    if jax.process_index() == 0:
        size = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
        check_space(job.workdir, CHECKPOINTS * size, "a run's checkpoints")
    if run.cached_map is not None:
        folder = config.cache_dir or job.workdir / "frozen_maps"
        load = cached_maps(run, variables, photos, folder, on_photos)
    batches = training_batches(
        load, photos.scores, config.batch_size, config.seed, run.augment, part=run.devices.part, times=photos.times
    )
    if (restored := job.checkpoints.restore(state)) is not None:
        state, position, job.validation.evaluations = restored
        batches.set_state(position)
    elif config.head_epochs:
        features = pooled_features(run, variables, load, len(photos))
        key, loss = run_key(config, 1), output_loss(config)
        variables = fit_head(variables, features, photos.scores, config.head_epochs, key, loss)
        state = init_state(variables, run.optimizer, masks, config.ema is not None)
    elif architecture(config.model).fitted_head is not None:
        variables = with_fitted_head(config.model, variables, photos)
        state = init_state(variables, run.optimizer, masks, config.ema is not None)
    return Ready(state, load, batches)


def take_steps(job: Job, ready: Ready, on_step: OnStep) -> TrainState:
    """The steps that are left, with a checkpoint where one is due; the state whose weights become the model."""
    run, checkpoints, validation = job.run, job.checkpoints, job.validation
    devices, total, first = run.devices, run.total_steps, int(ready.state.step) + 1
    state = on_devices(devices, ready.state)
    log = MetricsLog(job.workdir, first - 1) if jax.process_index() == 0 else None
    program = devices.compile(partial(train_step, run))
    with (
        log or nullcontext(),
        compiled_once(program) as step,
        preemption(checkpoints.reached_preemption) as preemption_requested,
    ):
        for number in range(first, total + 1):
            if validation.converged:
                break
            if number in run.pruning and number > 1:
                state = prune_state(run, run.pruning[number], devices.one(state), job.photos, ready.load)
                state = on_devices(devices, state)
            position = ready.batches.get_state()
            state, metrics, batch = timed_step(devices, step, state, ready.batches)
            if not is_finite(metrics):
                checkpoints.save(devices.one(state), position, validation.evaluations)
                raise not_finite(metrics, batch, number, run.config.seed, job.workdir)
            if evaluates := validation.due(number, total):
                metrics["validation_srocc"] = validation.evaluate(number, devices.one(state).trained)
            if log is not None:
                log.write(number, metrics)
            preempted, ended = preemption_requested(number), number == total or validation.converged
            if ended or preempted or evaluates or checkpoints.due(number):
                checkpoints.save(devices.one(state), ready.batches.get_state(), validation.evaluations)
            on_step(number, total, metrics)
            if preempted and not ended:
                raise Terminated(f"ended by SIGTERM after step {number} of {total}; the same command goes on from it")
    state = jax.tree.map(jnp.asarray, devices.one(state))
    best = None
    if validation.evaluations and run.config.keep == "best":
        best = checkpoints.restore(state, best_step(validation.evaluations))
    return state if best is None else best.state


def finish(job: Job, load: Load, state: TrainState) -> Scorer:
    """The trained model, calibrated on training photos and saved."""
    run, photos = job.run, job.photos
    trained = with_fitted_head(run.config.model, state.trained, photos)
    scorer = Scorer(trained, Calibration.identity(), run.config.model, photos.label)
    some = evenly_spread(len(photos), CALIBRATED)
    if run.reads_maps:
        features = pooled_features(run, state.trained, lambda i: load(some[i]), len(some))
        outputs = outputs_from(state.trained, features)
    else:
        outputs = predict(scorer, photos.subset(some))
    scorer = calibrate(scorer, outputs, photos.scores[some])
    if jax.process_index() == 0:
        facts = {"config": run.config.to_json(), "steps": int(state.step), "photos": len(photos)}
        checkpoint.save(job.workdir / "model", scorer, facts)
    return scorer


def on_devices(devices: Devices, state: TrainState) -> TrainState:
    """A copy of the state on every device."""
    # to a named device, as restored arrays are: a mixture of both kinds would compile the step a second time
    return devices.copies(jax.device_put(state, jax.local_devices()[0]))


def timed_step(
    devices: Devices, step: Callable[..., Any], state: TrainState, batches: Batches
) -> tuple[TrainState, dict[str, float], dict[str, Any]]:
    """The state after the next batch, metrics with the seconds that it took and waited for input, and the batch."""
    began = time.perf_counter()
    batch = next(batches)
    input_seconds = time.perf_counter() - began
    state, metrics = step(state, devices.parts(batch["inputs"]), devices.parts(batch["scores"]))
    values = {name: float(value) for name, value in devices.one(metrics).items()}
    return state, values | {"seconds": time.perf_counter() - began, "input_seconds": input_seconds}, batch
