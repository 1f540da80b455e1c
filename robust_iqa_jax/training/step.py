"""The training step: a pure function from a run, its state and a batch to the next state and metrics.
Reads top to bottom: attack (arXiv 2506.04951's AT), loss with the terms of defences (NT), gradient, update."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Float16, Float32, Int, UInt8

from robust_iqa_jax.attacks.arguments import example_keys
from robust_iqa_jax.defenses.adversarial_training import adversarial_batch
from robust_iqa_jax.defenses.consistency import attacked_images, budget, score_distance
from robust_iqa_jax.defenses.gradient_norm import gradient_norm_penalty, gradient_norms
from robust_iqa_jax.defenses.masks import Masks, apply_masks
from robust_iqa_jax.devices import first_row, mean_over_devices
from robust_iqa_jax.models.registry import normalise
from robust_iqa_jax.training.optimizer import stop_frozen
from robust_iqa_jax.training.run import Run, run_key

Metrics = dict[str, Float[Array, ""]]
Variables = dict[str, Any]
Inputs = Float32[Array, "b h w 3"] | UInt8[Array, "b h w 3"] | Float16[Array, "b h w c"]


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["step", "params", "batch_stats", "opt_state", "masks", "average"],
    meta_fields=[],
)
@dataclass(frozen=True)
class TrainState:
    """Everything that a step reads and writes.

    Attributes:
      step: finished steps.
      params, batch_stats: of the model.
      opt_state: of the optimiser.
      masks: of a pruned model, empty otherwise.
      average: running average of {"params", "batch_stats"}, empty in a run without one.
    """

    step: Int[Array, ""]
    params: Variables
    batch_stats: Variables
    opt_state: Any
    masks: Masks
    average: Variables

    @property
    def trained(self) -> Variables:
        """Variables of the model as it stands: the average where there is one."""
        return self.average or {"params": self.params, "batch_stats": self.batch_stats}


class StepKeys(NamedTuple):
    """What a step draws from: `dropout` on this device; `images`, one key an image, the same however a batch is split.
    Whoever draws from them for something new folds a number of its own into them."""

    dropout: Array
    images: Array


Term = Callable[[Run, Variables, Array, Array, StepKeys], tuple[Float[Array, ""], Metrics]]
"""What a defence adds to the loss: (run, variables, pixels in [0,1], labels, keys) -> weighed part of it, metrics.
Gradients flow through the variables; `outputs_of` gives the model's outputs."""


def loss_terms(run: Run) -> list[Term]:
    """What the run adds to the loss of the scores; a new defence of this kind is a line here."""
    return [] if run.config.gradient_norm is None else [gradient_penalty]


def init_state(
    variables: Variables, optimizer: optax.GradientTransformation, masks: Masks, averages: bool = False
) -> TrainState:
    """State before the first step, of variables whose masked filters are already zero; `averages`: for ema."""
    params, batch_stats = dict(variables["params"]), dict(variables["batch_stats"])
    average = jax.tree.map(jnp.copy, {"params": params, "batch_stats": batch_stats}) if averages else {}
    return TrainState(jnp.int32(0), params, batch_stats, optimizer.init(params), masks, average)


def train_step(run: Run, state: TrainState, inputs: Inputs, scores: Float[Array, " b"]) -> tuple[TrainState, Metrics]:
    """One step on one device; Devices.compile makes a program of it.

    On several devices loss, batch statistics and gradients are those of the whole batch, and an image's random start is
    that of its place in it; dropout is drawn anew on each.

    Args:
      run: whose step.
      state: before it.
      inputs: photos in grey levels 0..255, or maps of the frozen part where the run has a `cached_map`.
      scores: (b,) float32 labels.

    Returns:
      the state after it, the same as before where loss or gradient_norm is not finite, and metrics: "loss",
      "gradient_norm" (of the parameters); "label_penalty" with AT, the mean amount by which labels of attacked images
      were lowered; with consistency training "eps" of the attack, "clean_loss" and "score_distance"; those of the
      `loss_terms`.
    """
    axis = run.devices.axis_name
    x = inputs.astype(jnp.result_type(*jax.tree.leaves(state.params)))
    pixels = x / 255 if run.cached_map is None else x
    keys = step_keys(run, state.step, pixels.shape[0])
    if run.teach is not None:
        scores = run.teach(pixels, scores)
    pixels, mos, of_attack = attacked_batch(run, state, pixels, scores, keys)
    (loss, (batch_stats, of_terms)), gradient = jax.value_and_grad(batch_loss, has_aux=True)(
        state.params, run, state, pixels, mos, keys
    )
    loss, gradient, of_attack, of_terms = mean_over_devices((loss, gradient, of_attack, of_terms), axis)
    metrics = {"loss": loss, "gradient_norm": optax.tree.norm(gradient), **of_attack, **of_terms}
    after = updated(run, state, gradient, batch_stats)
    finite = jnp.isfinite(metrics["loss"]) & jnp.isfinite(metrics["gradient_norm"])
    return jax.tree.map(partial(jnp.where, finite), after, state), metrics


def step_keys(run: Run, step: Int[Array, ""], count: int) -> StepKeys:
    """Keys of a step for this device's `count` images."""
    axis = run.devices.axis_name
    dropout, images = (jax.random.fold_in(run_key(run.config, stream), step) for stream in (2, 3))
    if axis is not None:
        dropout = jax.random.fold_in(dropout, jax.lax.axis_index(axis))
    return StepKeys(dropout, example_keys(images, count, first_row(count, axis)))


def attacked_batch(
    run: Run, state: TrainState, pixels: Array, mos: Array, keys: StepKeys
) -> tuple[Array, Array, Metrics]:
    """What the step trains on, its labels and metrics: with AT the attacked batch, with consistency training the
    attacked photos before the clean ones, whose labels they share; else the batch as it is."""
    consistency = run.config.consistency
    if run.adversarial is None and consistency is None:
        return pixels, mos, {}
    variables = {"params": apply_masks(state.params, state.masks), "batch_stats": state.batch_stats}
    statistics = "running" if run.adversarial is None else run.adversarial.statistics

    def outputs(images: Array) -> Array:
        return outputs_of(run, variables, in_compute_dtype(run, network_input(run, images)), statistics, keys)

    if consistency is not None:
        eps = budget(consistency, state.step, run.total_steps).eps
        attacked = attacked_images(consistency, lambda x: outputs(x)[:, -1], keys.images, pixels, eps)
        return jnp.concatenate([attacked, pixels]), mos, {"eps": eps}
    assert run.adversarial is not None
    pixels, mos, penalty = adversarial_batch(run.adversarial, outputs, run.output_loss, keys.images, pixels, mos)
    return pixels, mos, {"label_penalty": penalty}


def batch_loss(
    params: Variables, run: Run, state: TrainState, pixels: Array, mos: Array, keys: StepKeys
) -> tuple[Float[Array, ""], tuple[Variables, Metrics]]:
    """Loss of a batch with the terms of defences; batch statistics after it, and the terms' metrics."""
    variables = {"params": apply_masks(stop_frozen(run.config, params), state.masks), "batch_stats": state.batch_stats}
    x = in_compute_dtype(run, network_input(run, pixels))
    if run.config.consistency is None:
        loss, after = run.objective(run.apply, variables, x, mos, {"dropout": keys.dropout})
        metrics: Metrics = {}
    else:
        loss, metrics = consistency_loss(run, state, variables, x, mos, keys)
        after, pixels = {"batch_stats": state.batch_stats}, pixels[len(mos) :]
    for term in loss_terms(run):
        part, values = term(run, variables, pixels, mos, keys)
        loss, metrics = loss + part, metrics | values
    return loss, (after.get("batch_stats", {}), metrics)


def consistency_loss(
    run: Run, state: TrainState, variables: Variables, x: Array, mos: Array, keys: StepKeys
) -> tuple[Float[Array, ""], Metrics]:
    """Loss of the clean photos and beta times the distance of the attacked ones' scores, which come first in x."""
    config = run.config.consistency
    assert config is not None
    attacked, clean = jnp.split(outputs_of(run, variables, x, "running", keys), 2)
    distance = score_distance(clean[:, -1], attacked[:, -1], run.devices.axis_name)
    loss = run.output_loss(clean, mos)
    metrics = {"clean_loss": loss, "score_distance": distance}
    return loss + budget(config, state.step, run.total_steps).beta * distance, metrics


def gradient_penalty(
    run: Run, variables: Variables, pixels: Array, mos: Array, keys: StepKeys
) -> tuple[Float[Array, ""], Metrics]:
    """NT: the penalty of defenses.gradient_norm, in pixels or in normalised values."""
    nt = run.config.gradient_norm
    assert nt is not None
    in_pixels = nt.space == "pixels"

    def score(variables: Variables, images: Array) -> Array:
        x = network_input(run, images) if in_pixels else images
        return outputs_of(run, variables, x, nt.statistics, keys)[:, -1]

    images = pixels if in_pixels else network_input(run, pixels)
    norms = gradient_norms(score, variables, images, nt.h, nt.relative, run.devices.axis_name)
    penalty = gradient_norm_penalty(norms)
    return nt.weight * penalty, {"gradient_penalty": penalty}


def network_input(run: Run, inputs: Array) -> Array:
    """What the network reads, of [0,1] pixels or of maps."""
    return normalise(run.config.model, inputs) if run.cached_map is None else inputs


def in_compute_dtype(run: Run, x: Array) -> Array:
    """The same in the type that the backbone computes in."""
    return x.astype(jnp.bfloat16) if run.config.compute_dtype == "bfloat16" else x


def outputs_of(run: Run, variables: Variables, x: Array, statistics: str, keys: StepKeys) -> Float[Array, "n outputs"]:
    """Outputs of a pass that leaves the running averages alone.

    Args:
      run: of the model.
      variables: of the model.
      x: as the network reads it.
      statistics: "running": in evaluation mode; "batch": in training mode, dropout on.
      keys: of the step.
    """
    train = statistics == "batch"
    rngs = {"dropout": keys.dropout} if train else None
    return cast(Array, run.apply(variables, x, train=train, rngs=rngs))


def updated(run: Run, state: TrainState, gradient: Variables, batch_stats: Variables) -> TrainState:
    """The state after a step of the optimiser; what is masked stays zero."""
    updates, opt_state = run.optimizer.update(gradient, state.opt_state, state.params)
    params = apply_masks(cast(Variables, optax.apply_updates(state.params, updates)), state.masks)
    average = state.average
    if run.config.ema is not None:
        latest = {"params": params, "batch_stats": batch_stats}
        average = next_average(average, latest, run.config.ema, state.step)
    return TrainState(state.step + 1, params, batch_stats, opt_state, state.masks, average)


def next_average(average: Variables, latest: Variables, decay: float, earlier: Int[Array, ""]) -> Variables:
    """Exponential average of the values of all steps, free of what it started from as Adam's averages are.

    After step t the values of step i have the weight (1 - decay) decay^(t - i) / (1 - decay^t).

    Args:
      average: of the `earlier` steps before; anything where there are none.
      latest: values after this step.
      decay: in (0, 1).
      earlier: how many.
    """
    weight = (decay - 1) / jnp.expm1((earlier + 1) * math.log(decay))
    return jax.tree.map(lambda mean, new: mean + weight.astype(mean.dtype) * (new - mean), average, latest)
