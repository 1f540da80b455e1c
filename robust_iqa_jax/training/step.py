"""The training step: one pure function from state and batch to state and metrics.
Inside it act masks of a pruned model (arXiv 2506.04951), gradient-norm regularisation and adversarial training."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Float16, Int, UInt8

from robust_iqa_jax.attacks.arguments import example_keys
from robust_iqa_jax.defenses.adversarial_training import adversarial_batch
from robust_iqa_jax.defenses.gradient_norm import GradientNormConfig, gradient_norm_penalty, gradient_norms
from robust_iqa_jax.defenses.masks import Masks, apply_masks
from robust_iqa_jax.functional.axis import averaged, first_row
from robust_iqa_jax.models.registry import build, normalise
from robust_iqa_jax.training.config import TrainConfig
from robust_iqa_jax.training.frozen_maps import frozen_map
from robust_iqa_jax.training.micro_batches import apply_in_parts
from robust_iqa_jax.training.objectives import objective, output_loss
from robust_iqa_jax.training.optimizer import stop_frozen


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
    params: dict[str, Any]
    batch_stats: dict[str, Any]
    opt_state: Any
    masks: Masks
    average: dict[str, Any]

    @property
    def trained(self) -> dict[str, Any]:
        """Variables of the model as it stands: the average where there is one."""
        return self.average or {"params": self.params, "batch_stats": self.batch_stats}


Step = Callable[[TrainState, Array, Array], tuple[TrainState, dict[str, Array]]]


def init_state(
    variables: dict[str, Any], optimizer: optax.GradientTransformation, masks: Masks, averages: bool = False
) -> TrainState:
    """State before the first step, of variables whose masked filters are already zero; `averages`: for ema."""
    params, batch_stats = dict(variables["params"]), dict(variables["batch_stats"])
    average = jax.tree.map(jnp.copy, {"params": params, "batch_stats": batch_stats}) if averages else {}
    return TrainState(jnp.int32(0), params, batch_stats, optimizer.init(params), masks, average)


def moved_average(average: dict[str, Any], latest: dict[str, Any], decay: float, earlier: Int[Array, ""]) -> Any:
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


def make_step(config: TrainConfig, optimizer: optax.GradientTransformation, axis_name: str | None = None) -> Step:
    """The step of a run, a pure function of one device; training.parallel makes a program of it.

    Args:
      config: the run.
      optimizer: of all parameters.
      axis_name: mapped axis over which the batch is spread. Loss, batch statistics and gradients are then those of the
        whole batch, and an image's random start is that of its place in it; dropout is drawn anew on each device.

    Returns:
      (state, inputs, scores float32 (b,)) -> (state, metrics); inputs are photos (b, h, w, 3), or float16 maps of
      the frozen part (b, h, w, c) with config.cache_frozen. Metrics: "loss", "gradient_norm" (of the parameters); with
      config.gradient_norm "gradient_penalty", a part of the loss once it is weighed; with config.adversarial
      "label_penalty", the mean amount by which labels of attacked images were lowered. Where loss or gradient_norm is
      not finite the state stays as it was.
    """
    apply = apply_in_parts(build(config.model, axis_name), config.accumulate)
    run_key = jax.random.key(config.seed)
    dropout_key, attack_key = (jax.random.fold_in(run_key, i) for i in (2, 3))  # 1 is the head's
    task, scores_loss, options = objective(config, axis_name), output_loss(config, axis_name), {}
    start = frozen_map(config) if config.cache_frozen else None
    if config.model.architecture == "linearity":
        options = {"train_backbone_stats": config.backbone_stats == "batch", "start": start}
    penalised, adversarial = config.gradient_norm, config.adversarial

    def seen(inputs: Array) -> Array:
        """What the network reads, of [0,1] pixels or of maps."""
        return normalise(config.model, inputs) if start is None else inputs

    def computed(inputs: Array) -> Array:
        """The same in the type that the network computes in."""
        x = seen(inputs)
        return x.astype(jnp.bfloat16) if config.compute_dtype == "bfloat16" else x

    def rngs(state: TrainState) -> dict[str, Array]:
        key = jax.random.fold_in(dropout_key, state.step)
        return {"dropout": key if axis_name is None else jax.random.fold_in(key, jax.lax.axis_index(axis_name))}

    def outputs_of(variables: Any, x: Array, statistics: str, state: TrainState) -> Array:
        """Outputs of a pass that leaves the running averages alone."""
        train = statistics == "batch"
        return cast(Array, apply(variables, x, train=train, rngs=rngs(state) if train else None, **options))

    def attacked(state: TrainState, pixels: Array, mos: Array) -> tuple[Array, Array, dict[str, Array]]:
        """The batch to train on, and what it reports: the one given, or an attacked one."""
        if adversarial is None:
            return pixels, mos, {}
        variables = {"params": apply_masks(state.params, state.masks), "batch_stats": state.batch_stats}
        statistics = adversarial.statistics
        outputs = lambda images: outputs_of(variables, computed(images), statistics, state)  # noqa: E731
        keys = example_keys(
            jax.random.fold_in(attack_key, state.step), pixels.shape[0], first_row(pixels.shape[0], axis_name)
        )
        pixels, mos, lowered = adversarial_batch(adversarial, outputs, scores_loss, keys, pixels, mos)
        return pixels, mos, {"label_penalty": lowered}

    def penalty(nt: GradientNormConfig, variables: Any, pixels: Array, state: TrainState) -> Array:
        in_pixels = nt.space == "pixels"

        def score(variables: Any, images: Array) -> Array:
            x = seen(images) if in_pixels else images
            return outputs_of(variables, x, nt.statistics, state)[:, -1]

        images = pixels if in_pixels else seen(pixels)
        return gradient_norm_penalty(gradient_norms(score, variables, images, nt.h, nt.relative, axis_name))

    def loss_of(params: dict[str, Any], state: TrainState, inputs: Array, mos: Array) -> tuple[Array, Any]:
        used = apply_masks(stop_frozen(config, params), state.masks)
        variables = {"params": used, "batch_stats": state.batch_stats}
        loss, moved = task(apply, variables, computed(inputs), mos, rngs(state), **options)
        metrics = {}
        if penalised is not None:
            metrics = {"gradient_penalty": penalty(penalised, variables, inputs, state)}
            loss += penalised.weight * metrics["gradient_penalty"]
        return loss, (moved.get("batch_stats", {}), metrics)

    def step(
        state: TrainState, inputs: UInt8[Array, "b h w 3"] | Float16[Array, "b h w c"], scores: Float[Array, " b"]
    ) -> tuple[TrainState, dict[str, Array]]:
        x = inputs.astype(jnp.result_type(*jax.tree.leaves(state.params)))
        x, mos, reported = attacked(state, x / 255 if start is None else x, scores)
        (loss, (batch_stats, more)), gradient = jax.value_and_grad(loss_of, has_aux=True)(state.params, state, x, mos)
        loss, gradient, reported, more = averaged((loss, gradient, reported, more), axis_name)
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        updated = cast(dict[str, Any], optax.apply_updates(state.params, updates))
        params = apply_masks(updated, state.masks)
        metrics = {"loss": loss, "gradient_norm": optax.tree.norm(gradient), **reported, **more}
        average = state.average
        if config.ema is not None:
            average = moved_average(average, {"params": params, "batch_stats": batch_stats}, config.ema, state.step)
        after = TrainState(state.step + 1, params, batch_stats, opt_state, state.masks, average)
        finite = jnp.isfinite(metrics["loss"]) & jnp.isfinite(metrics["gradient_norm"])
        return jax.tree.map(partial(jnp.where, finite), after, state), metrics

    return step
