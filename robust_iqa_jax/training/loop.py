"""The training loop: config and photos in, calibrated Scorer and work folder out; reads top to bottom.
Interrupted at any moment it goes on where the last checkpoint stands when it is called again."""

import dataclasses
import json
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from robust_iqa_jax.data.photo_set import PhotoSet, evenly_spread
from robust_iqa_jax.data.pipeline import (
    Augment,
    check_batch_size,
    crop_and_flip,
    evaluation_batches,
    resized,
    training_batches,
)
from robust_iqa_jax.defenses.pruning import check_pruning
from robust_iqa_jax.files import check_folder, check_outputs, check_space, recognise, write_text
from robust_iqa_jax.folder_lock import locked
from robust_iqa_jax.models import checkpoint
from robust_iqa_jax.models.registry import COLLECTIONS, build, init_pretrained, with_fresh_parts
from robust_iqa_jax.models.scorer import Calibration, Scorer
from robust_iqa_jax.training.calibration import calibrate, predict
from robust_iqa_jax.training.config import TrainConfig
from robust_iqa_jax.training.failed_batch import save_failed_batch
from robust_iqa_jax.training.features import outputs_from, pooled_features
from robust_iqa_jax.training.frozen_maps import frozen_map, frozen_maps
from robust_iqa_jax.training.head import fit_head
from robust_iqa_jax.training.metrics_log import FILE, MetricsLog
from robust_iqa_jax.training.objectives import output_loss
from robust_iqa_jax.training.optimizer import make_optimizer, part_labels
from robust_iqa_jax.training.parallel import parallel
from robust_iqa_jax.training.projection import project_block
from robust_iqa_jax.training.pruning_rounds import pruned, pruned_further, pruned_shares
from robust_iqa_jax.training.recompilation import compiled_once
from robust_iqa_jax.training.resume import RunCheckpoints, best_step
from robust_iqa_jax.training.step import init_state, make_step
from robust_iqa_jax.training.termination import Terminated, told_to_end
from robust_iqa_jax.training.validation import Validation

PROJECTION_PHOTOS = 64
POSITIVE = ("steps", "epochs", "batch_size", "learning_rate", "checkpoint_every", "validate_every", "patience", "crop")
"""Settings of a run that are above zero where they are given."""

KEPT_STATES = 4
"""States of a run on disk at once: the last two, the best one, and the one that is being written."""

OUTPUTS = ("config.json", "metrics.jsonl", "tensorboard", "checkpoints", "model")
"""In a work folder."""


def total_steps(config: TrainConfig, photos: int) -> int:
    """Length of the run in steps."""
    return config.steps if config.steps is not None else max(1, round(config.epochs * photos / config.batch_size))


def train(
    config: TrainConfig,
    photos: PhotoSet,
    workdir: Path,
    on_step: Callable[[int, int, dict[str, float]], None] = lambda step, total, metrics: None,
    on_photos: Callable[[int, int], None] = lambda done, total: None,
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
      validation: photos whose SROCC is measured during training; the weights that were best on them become the model.

    Returns:
      the trained scorer, calibrated on `photos`.

    Raises:
      ValueError: the folder holds another configuration's run or files that are no run's, another process trains in
        it, the disk has no room for the run, or the configuration does not fit the photos.
      FloatingPointError: the loss or its gradient is not finite; the state before that step and its batch are saved.
      Terminated: SIGTERM came; the step that it came in is finished and saved.
    """
    check(config, len(photos))
    evaluating = Validation(config, validation, len(photos))
    if jax.process_index() > 0:
        return _trained(config, photos, workdir, evaluating, on_step, on_photos)
    check_folder(workdir, "--workdir")
    with locked(workdir, "--workdir"):
        _claim(config, workdir)
        return _trained(config, photos, workdir, evaluating, on_step, on_photos)


def _trained(
    config: TrainConfig,
    photos: PhotoSet,
    workdir: Path,
    evaluating: Validation,
    on_step: Callable[[int, int, dict[str, float]], None],
    on_photos: Callable[[int, int], None],
) -> Scorer:
    """`train`, once this process may write to the folder."""
    placed = parallel(config.parallel, config.batch_size)
    writes = jax.process_index() == 0
    total = total_steps(config, len(photos))
    variables = initial_variables(config, photos)
    size = config.model.input_size
    load = resized(photos, size)
    shares, masks = pruned_shares(config, total), {}
    if shares:
        variables, masks = pruned(config, shares.pop(1), variables, photos, load)
    optimizer = make_optimizer(config, total)
    state = init_state(variables, optimizer, masks, config.ema is not None)
    if writes:
        check_space(workdir, KEPT_STATES * sum(leaf.nbytes for leaf in jax.tree.leaves(state)), "a run's checkpoints")
    if config.cache_frozen:
        folder = config.cache_dir or workdir / "frozen_maps"
        load = frozen_maps(config, variables, photos, folder, on_photos)
        size = load(0).shape[1:3]
    augment = augmentation(config, size)
    batches = training_batches(load, photos.scores, config.batch_size, config.seed, augment, part=placed.part)
    compiled = placed.compile(make_step(with_label_range(config, photos.scores), optimizer, placed.axis_name))
    checkpointing = RunCheckpoints(workdir / "checkpoints", config.checkpoint_every)
    with checkpointing as checkpoints, told_to_end(checkpoints.all_told_to_end) as ends:
        restored = checkpoints.restore(state)
        if restored is not None:
            state, position, evaluating.evaluations = restored
            batches.set_state(position)
        elif config.head_epochs:
            features = pooled_features(config, variables, load, len(photos))
            key = jax.random.fold_in(jax.random.key(config.seed), 1)
            variables = fit_head(variables, features, photos.scores, config.head_epochs, key, output_loss(config))
            state = init_state(variables, optimizer, masks, config.ema is not None)
        start, state = int(state.step), placed.put_state(state)
        with MetricsLog(workdir, start) if writes else nullcontext() as log, compiled_once(compiled) as step:
            for done in range(start + 1, total + 1):
                if evaluating.converged:
                    break
                if done in shares:
                    state = placed.put_state(pruned_further(config, shares[done], placed.get(state), photos, load))
                position, began = batches.get_state(), time.perf_counter()
                batch = next(batches)
                waited = time.perf_counter() - began
                state, metrics = step(state, *placed.put_batch(batch["inputs"], batch["scores"]))
                values = {name: float(value) for name, value in placed.get(metrics).items()}
                values |= {"seconds": time.perf_counter() - began, "input_seconds": waited}
                if not np.isfinite([values["loss"], values["gradient_norm"]]).all():
                    checkpoints.save(placed.get(state), position, evaluating.evaluations)
                    path = save_failed_batch(workdir, batch, done, config.seed)
                    raise FloatingPointError(
                        f"step {done}: the loss is {values['loss']}, its gradient's norm {values['gradient_norm']}; "
                        f"{path} has the batch and the same command repeats the step; lower --learning-rate"
                    )
                evaluates = evaluating.due(done, total)
                if evaluates:
                    values["validation_srocc"] = evaluating.evaluate(done, placed.get(state).trained)
                if log is not None:
                    log.write(done, values)
                told, ended = ends(done), done == total or evaluating.converged
                if ended or told or evaluates or checkpoints.due(done):
                    checkpoints.save(placed.get(state), batches.get_state(), evaluating.evaluations)
                on_step(done, total, values)
                if told and not ended:
                    raise Terminated(f"ended by SIGTERM after step {done} of {total}; the same command goes on from it")
        state = jax.tree.map(jnp.asarray, placed.get(state))
        best = checkpoints.restore(state, best_step(evaluating.evaluations)) if evaluating.evaluations else None
    state = state if best is None else best.state
    trained = state.trained
    scorer = Scorer(trained, Calibration.identity(), config.model, photos.label)
    if config.model.architecture == "linearity":
        outputs = outputs_from(trained, pooled_features(config, trained, load, len(photos)))
    else:
        outputs = predict(scorer, photos)
    scorer = calibrate(scorer, outputs, photos.scores)
    if writes:
        checkpoint.save(
            workdir / "model", scorer, {"config": config.to_json(), "steps": int(state.step), "photos": len(photos)}
        )
    return scorer


def check(config: TrainConfig, photos: int) -> None:
    """Raise ValueError for settings that do not fit the model or the number of photos, before anything is done."""
    build(config.model)
    if config.model.architecture != "linearity":
        for option in ("head_epochs", "cache_frozen", "train_from", "compute_dtype"):
            if getattr(config, option) != getattr(TrainConfig, option):
                raise ValueError(
                    f"--{option.replace('_', '-')}: only LinearityIQA has it, not {config.model.architecture}"
                )
    output_loss(config)
    part_labels(config, {})
    check_pruning(config.prune_method, config.prune)
    for name in POSITIVE:
        value = getattr(config, name)
        if value is not None and not (value > 0 and np.isfinite(value)):
            raise ValueError(f"--{name.replace('_', '-')} {value}: must be above 0")
    check_batch_size(photos, config.batch_size)
    share = config.batch_size // parallel(config.parallel, config.batch_size).devices
    if config.accumulate < 1 or share % config.accumulate:
        raise ValueError(
            f"--accumulate {config.accumulate}: must divide the {share} photos that a device has of a batch"
        )
    if config.ema is not None and not 0 < config.ema < 1:
        raise ValueError(f"--ema {config.ema}: a decay lies between 0 and 1, such as 0.999")
    if config.weight_decay < 0:
        raise ValueError(f"--weight-decay {config.weight_decay}: must not be negative")
    pruned_shares(config, total_steps(config, photos))
    if config.cache_frozen:
        for option in ("gradient_norm", "adversarial"):
            if getattr(config, option) is not None:
                raise ValueError(f"--cache-frozen: cached maps have no pixels for {option}; drop one of the two")
        if config.prune_rounds > 1:
            raise ValueError(
                "--cache-frozen: later rounds of --prune-rounds change the frozen layers; drop one of the two"
            )
        if config.flip_vertical:
            raise ValueError("--cache-frozen: there are no maps of photos upside down; drop it or --flip-vertical")
        frozen_map(config)
    else:
        augmentation(config, config.model.input_size)


def initial_variables(config: TrainConfig, photos: PhotoSet) -> dict[str, Any]:
    """Weights that the run starts from: a checkpoint's, or ImageNet's with a fresh head; with a fresh block where the
    model has one and the checkpoint none.

    Raises:
      ValueError: the checkpoint holds another model.
    """
    key = jax.random.key(config.seed)
    if config.start_from is None:
        variables = init_pretrained(config.model, key)
    else:
        scorer = checkpoint.load(config.start_from)
        check_start(config, scorer)
        variables = {name: scorer.variables[name] for name in COLLECTIONS}
        if scorer.spec == config.model:
            return variables
        variables = with_fresh_parts(config.model, key, variables)
    if config.model.block is None or config.block_start == "random":
        return variables
    some = photos.subset(evenly_spread(len(photos), PROJECTION_PHOTOS))
    size = config.model.input_size
    batches = (jnp.asarray(images[:count]) for images, count in evaluation_batches(some, size, 8))
    return project_block(config.model, variables, batches)


def check_start(config: TrainConfig, scorer: Scorer) -> None:
    """Raise ValueError where a run cannot start from a checkpoint: it holds another model, block or no block aside."""
    if scorer.spec not in (config.model, dataclasses.replace(config.model, block=None)):
        raise ValueError(
            f"--start-from {config.start_from}: holds another model than the configuration's; choose a checkpoint of "
            f"{config.model.architecture} over {config.model.backbone} with its input size and maps"
        )


def augmentation(config: TrainConfig, size: tuple[int, int]) -> Augment:
    """What a run does at random to photos of (h, w); windows are those of the run, or those that the model reads.

    Raises:
      ValueError: windows larger than the photos.
    """
    side = config.crop or (None if config.model.crops is None else config.model.crops.side)
    return crop_and_flip(size, side, config.flip, config.flip_vertical)


def with_label_range(config: TrainConfig, scores: np.ndarray) -> TrainConfig:
    """The configuration with the training labels' extremes where adversarial training is left to find them."""
    if config.adversarial is None or config.adversarial.label_range is not None:
        return config
    ends = float(np.min(scores)), float(np.max(scores))
    return dataclasses.replace(config, adversarial=dataclasses.replace(config.adversarial, label_range=ends))


def _claim(config: TrainConfig, workdir: Path) -> None:
    """Write config.json, or check that the one found is the same run's (where it is written does not matter).

    A field that the file lacks is one that is younger than the run, which had what is now its default.
    """
    path = workdir / "config.json"
    own, defaults = (
        {name: value for name, value in json.loads(json.dumps(c.to_json())).items() if name != "workdir"}
        for c in (config, TrainConfig())
    )
    if not path.exists():
        if strange := [name for name in OUTPUTS if (workdir / name).exists()]:
            raise ValueError(
                f"--workdir {workdir}: holds {strange[0]} and no config.json, so that no run wrote it; choose another"
            )
    else:
        found = _run_config(path)
        if found is None:
            raise ValueError(f"--workdir {workdir}: its config.json is not one of a run; choose another")
        changed = [name for name in own if own[name] != (defaults | found)[name]]
        if changed:
            raise ValueError(
                f"{workdir}: holds a run with other {', '.join(changed)}; choose another --workdir or remove it"
            )
        recognise([path, workdir / FILE], lambda: True)
    check_outputs([path, workdir / FILE], option="--workdir")
    write_text(path, json.dumps(own, indent=2) + "\n")


def _run_config(path: Path) -> dict[str, Any] | None:
    """What a run's config.json holds; None for any other file."""
    try:
        found = json.loads(path.read_text())
    except ValueError:
        return None
    return found if isinstance(found, dict) and {"name", "model", "data", "seed"} <= found.keys() else None
