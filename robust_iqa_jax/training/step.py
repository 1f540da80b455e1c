"""The training step: one pure function from state and batch to state and metrics, jitted once.
Masks of a pruned model act inside it, so that pruned filters stay at zero (arXiv 2506.04951, fine-tuning)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Float16, Int, UInt8

from robust_iqa_jax.defenses.masks import Masks, apply_masks
from robust_iqa_jax.models.registry import build, normalise
from robust_iqa_jax.training.config import TrainConfig
from robust_iqa_jax.training.frozen_maps import frozen_map
from robust_iqa_jax.training.objectives import OBJECTIVES
from robust_iqa_jax.training.optimizer import stop_frozen


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["step", "params", "batch_stats", "opt_state", "masks"],
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
    """

    step: Int[Array, ""]
    params: dict[str, Any]
    batch_stats: dict[str, Any]
    opt_state: Any
    masks: Masks


Step = Callable[[TrainState, Array, Array], tuple[TrainState, dict[str, Array]]]


def init_state(variables: dict[str, Any], optimizer: optax.GradientTransformation, masks: Masks) -> TrainState:
    """State before the first step, of variables whose masked filters are already zero."""
    params = dict(variables["params"])
    return TrainState(jnp.int32(0), params, dict(variables["batch_stats"]), optimizer.init(params), masks)


def make_step(config: TrainConfig, optimizer: optax.GradientTransformation) -> Step:
    """The jitted step of a run; it gives its input state's memory to the output.

    Returns:
      (state, inputs, scores float32 (b,)) -> (state, {"loss", "gradient_norm"}); inputs are uint8 photos (b, h, w, 3),
      or float16 maps of the frozen part (b, h, w, c) with config.cache_frozen.
    """
    module = build(config.model)
    dropout_key = jax.random.fold_in(jax.random.key(config.seed), 2)  # 1 is the head's
    objective, options = OBJECTIVES[config.model.architecture], {}
    start = frozen_map(config) if config.cache_frozen else None
    if config.model.architecture == "linearity":
        options = {"train_backbone_stats": config.backbone_stats == "batch", "start": start}

    def loss_of(params: dict[str, Any], state: TrainState, inputs: Array, scores: Array) -> tuple[Array, Any]:
        used = apply_masks(stop_frozen(config, params), state.masks)
        rngs = {"dropout": jax.random.fold_in(dropout_key, state.step)}
        variables = {"params": used, "batch_stats": state.batch_stats}
        loss, moved = objective(module, variables, inputs, scores, rngs, **options)
        return loss, moved.get("batch_stats", {})

    @partial(jax.jit, donate_argnums=0)
    def step(
        state: TrainState, inputs: UInt8[Array, "b h w 3"] | Float16[Array, "b h w c"], scores: Float[Array, " b"]
    ) -> tuple[TrainState, dict[str, Array]]:
        x = inputs.astype(jnp.float32)
        x = normalise(config.model, x / 255) if start is None else x
        (loss, batch_stats), gradient = jax.value_and_grad(loss_of, has_aux=True)(state.params, state, x, scores)
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        updated = cast(dict[str, Any], optax.apply_updates(state.params, updates))
        params = apply_masks(updated, state.masks)
        metrics = {"loss": loss, "gradient_norm": optax.tree.norm(gradient)}
        return TrainState(state.step + 1, params, batch_stats, opt_state, state.masks), metrics

    return step
