"""Where does the time of a training step go, and does reading photos keep up with it?

    riqa bench training --config clive_lite0_robust --data clive/scores.csv --test-group 0 --json rows.json

Input: what the pipeline takes for one batch, the first time (decoding and resizing) and later (from memory). Then the
loss in training mode, the loss with its gradient, the optimiser, and the whole step of the run, each its own program.
What several devices would exchange is counted, not timed.
"""

import dataclasses
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from jax import Array

from robust_iqa_jax.benchmarks.machine import ceilings
from robust_iqa_jax.benchmarks.measure import Row, measure, median_and_spread, timed_row
from robust_iqa_jax.benchmarks.rows import Output, collect, publish
from robust_iqa_jax.commands.config_file import load_config
from robust_iqa_jax.data.open import open_photos, split_photos
from robust_iqa_jax.data.photo_set import PhotoSet
from robust_iqa_jax.data.pipeline import resized, training_batches
from robust_iqa_jax.training.config import TrainConfig
from robust_iqa_jax.training.optimizer import stop_frozen
from robust_iqa_jax.training.run import Run, resolve
from robust_iqa_jax.training.start import initial_variables
from robust_iqa_jax.training.step import init_state, network_input, train_step

DEVICES = 8
"""The exchange is counted for a ring of this many."""


@dataclass(frozen=True)
class Args:
    """Which run, on which photos."""

    config: str
    """As `riqa train` takes it: the name of a shipped configuration, or a .py file. Frozen maps are not cached here."""
    data: str | None = None
    """Label table in place of the configuration's."""
    test_group: str | None = None
    """Held-out group in place of the configuration's."""
    batch_size: int | None = None
    repeats: int = 5
    output: tyro.conf.OmitArgPrefixes[Output] = field(default_factory=Output)


def main(args: Args) -> list[Row]:
    """Measure, print and write the rows.

    Raises:
      ValueError: what `riqa train` would refuse.
    """
    given = {name: getattr(args, name) for name in ("data", "test_group", "batch_size")}
    changes = {name: value for name, value in given.items() if value is not None}
    config = dataclasses.replace(load_config(args.config, TrainConfig), cache_frozen=False, **changes)
    photos, _ = split_photos(open_photos(config.data), config.test_group)
    run = resolve(config, photos.scores)
    variables = initial_variables(run, photos)
    limits, rows = ceilings(), collect(_rows(run, photos, variables, args.repeats))
    publish("training", f"Parts of a training step: {config.name}", rows, limits, args.output)
    rates = {row.impl: config.batch_size / row.median_s for row in rows}
    print(
        f"photos a second: {rates['step']:.1f} in the step, {rates['input, first epoch']:.1f} read for the first time, "
        f"{rates['input, from memory']:.1f} later"
    )
    sizes = {name: sum(leaf.nbytes for leaf in jax.tree.leaves(tree)) / 1e6 for name, tree in variables.items()}
    moved = 2 * (DEVICES - 1) / DEVICES * sum(sizes.values())
    print(f"averaged over devices in every step: {sizes['params']:.1f} MB of gradients", end=", ")
    print(f"{sizes['batch_stats']:.2f} MB of batch statistics; a ring of {DEVICES} moves {moved:.1f} MB through each")
    return rows


def _rows(run: Run, photos: PhotoSet, variables: dict[str, Any], repeats: int) -> Iterator[Row]:
    config, batch, load = run.config, run.config.batch_size, resized(photos, run.config.model.input_size)
    batches = training_batches(load, photos.scores, batch, config.seed, run.augment)
    seconds, epoch = [], max(1, len(photos) // batch)
    for _ in range(2 * epoch):
        began = time.perf_counter()
        next(batches)
        seconds.append(time.perf_counter() - began)
    for impl, some in (("input, first epoch", seconds[:epoch]), ("input, from memory", seconds[epoch:])):
        # the mean: batches that were read ahead come at once
        yield Row(config.name, impl, batch, "input", float(np.mean(some)), median_and_spread(some)[1], 0.0)
    one = next(batches)
    inputs, scores = jnp.asarray(one["inputs"]), jnp.asarray(one["scores"])
    state = init_state(variables, run.optimizer, {}, config.ema is not None)
    loss = partial(_loss, run)
    gradient = jax.jit(jax.grad(loss))(state.params, state.batch_stats, inputs, scores)

    def update(gradient: Any, opt_state: Any, params: Any) -> Any:
        updates, opt_state = run.optimizer.update(gradient, opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    parts = (
        ("loss", loss, (state.params, state.batch_stats, inputs, scores)),
        ("loss and gradient", jax.value_and_grad(loss), (state.params, state.batch_stats, inputs, scores)),
        ("optimiser", update, (gradient, state.opt_state, state.params)),
        ("step", partial(train_step, run), (state, inputs, scores)),
    )
    for impl, function, arguments in parts:
        yield timed_row(config.name, impl, batch, "training", measure(function, *arguments, repeats=repeats))


def _loss(run: Run, params: Any, batch_stats: Any, inputs: Array, scores: Array) -> Array:
    """The objective alone: neither gradient-norm penalty nor attack, which the whole step has."""
    variables = {"params": stop_frozen(run.config, params), "batch_stats": batch_stats}
    x = network_input(run, inputs.astype(jnp.float32) / 255)
    return run.objective(run.apply, variables, x, scores, {"dropout": jax.random.key(0)})[0]
