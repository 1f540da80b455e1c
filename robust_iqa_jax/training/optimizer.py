"""Adam with two rates, pretrained backbone slower than the fresh parts, both cut tenfold at each third of the run.
Source: lidq92/LinearityIQA (REFERENCE 2.1): StepLR gamma 0.1 every int(E / (1 + ln .01 / ln .1)) = E/3 epochs."""

from typing import Any

import optax

from robust_iqa_jax.training.config import TrainConfig


def make_optimizer(config: TrainConfig, total_steps: int) -> optax.GradientTransformation:
    """The run's optimiser over {"backbone", "head"[, "block"]}.

    Args:
      config: rates, decay and whether the block is frozen.
      total_steps: length of the run.
    """

    def adam(rate: float) -> optax.GradientTransformation:
        cuts = {total_steps * i // config.decay_stages: 0.1 for i in range(1, config.decay_stages)}
        return optax.adam(optax.piecewise_constant_schedule(rate, cuts))

    parts = {
        "fresh": adam(config.learning_rate),
        "backbone": adam(config.learning_rate * config.backbone_factor),
        "frozen": optax.set_to_zero(),
    }

    def label(params: dict[str, Any]) -> dict[str, str]:
        labels = {"backbone": "backbone", "block": "frozen" if config.freeze_block else "fresh"}
        return {name: labels.get(name, "fresh") for name in params}

    return optax.partition(parts, label)
