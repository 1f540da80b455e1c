"""Adam with two rates, of the pretrained backbone and of the fresh parts, cut tenfold at each third or along a cosine.
Sources: lidq92/LinearityIQA: StepLR gamma 0.1 every int(E / (1 + ln .01 / ln .1)) = E/3 epochs; the cosine is ours;
isalirezag/TReS: torch.optim.Adam's weight decay, which joins the gradient."""

from collections.abc import Hashable
from typing import Any

import jax
import optax
from flax import traverse_util

from robust_iqa_jax.models.backbone_table import backbone
from robust_iqa_jax.setting_error import SettingError, setting
from robust_iqa_jax.training.config import TrainConfig


def make_optimizer(config: TrainConfig, total_steps: int) -> optax.GradientTransformation:
    """The run's optimiser over {"backbone", "head"[, "block"]}.

    Args:
      config: rates, decay, weight decay and whether the block is frozen.
      total_steps: length of the run.
    """

    def adam(rate: float) -> optax.GradientTransformation:
        if config.decay == "cosine":
            schedule = optax.cosine_decay_schedule(rate, total_steps)
        else:
            schedule = optax.piecewise_constant_schedule(rate, {total_steps * i // 3: 0.1 for i in (1, 2)})
        if config.warmup:
            rise = optax.linear_schedule(1 / (config.warmup + 1), 1, config.warmup)
            schedule = _product(schedule, rise)
        if not config.weight_decay:
            return optax.adam(schedule)
        return optax.chain(optax.add_decayed_weights(config.weight_decay), optax.adam(schedule))

    parts: dict[Hashable, optax.GradientTransformation] = {
        "fresh": adam(config.learning_rate),
        "backbone": adam(config.learning_rate * config.backbone_factor),
        "frozen": optax.set_to_zero(),
    }

    optimizer = optax.partition(parts, lambda params: part_labels(config, params))
    return optimizer if config.clip is None else optax.chain(optax.clip_by_global_norm(config.clip), optimizer)


def part_labels(config: TrainConfig, params: dict[str, Any]) -> dict[str, Any]:
    """ "fresh", "backbone" or "frozen" for every parameter, in the structure of `params`.

    Raises:
      ValueError: config.train_from names no feature map of the backbone.
    """
    frozen = frozenset[str]()
    if config.train_from is not None:
        row = backbone(config.model.backbone)
        if config.train_from not in row.taps:
            raise SettingError(
                f"{setting('train_from')} {config.train_from}: not a feature map; choose one of {', '.join(row.taps)}"
            )
        before = row.taps[: row.taps.index(config.train_from)]
        frozen = frozenset(module for module in params.get("backbone", {}) if row.map_of(module) in before)

    def label(path: tuple[str, ...]) -> str:
        if path[0] == "backbone":
            return "frozen" if path[1] in frozen else "backbone"
        return "frozen" if path[0] == "block" and config.freeze_block else "fresh"

    flat = traverse_util.flatten_dict(params)
    return traverse_util.unflatten_dict({path: label(path) for path in flat})


def stop_frozen(config: TrainConfig, params: dict[str, Any]) -> dict[str, Any]:
    """Parameters through which no gradient reaches the frozen ones, so that XLA drops their backward pass."""
    labels = part_labels(config, params)
    return jax.tree.map(lambda x, name: jax.lax.stop_gradient(x) if name == "frozen" else x, params, labels)


def _product(first: optax.Schedule, second: optax.Schedule) -> optax.Schedule:
    return lambda count: first(count) * second(count)
