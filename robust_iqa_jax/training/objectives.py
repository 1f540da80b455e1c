"""The loss that each architecture is trained with, from a module and a batch: its paper's, or the one of the run.
Sources: arXiv 2008.03889 (LinearityIQA), 1910.06180 (KonCept512), 2108.06858 (TReS), sources.md 2.4 (the others)."""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.functional.axis import averaged, gathered
from robust_iqa_jax.training.config import TrainConfig
from robust_iqa_jax.training.losses import LOSSES, LossName, monotonicity, total_loss
from robust_iqa_jax.training.micro_batches import Apply
from robust_iqa_jax.training.tres_loss import self_consistency, tres_loss

OutputLoss = Callable[[Float[Array, "n outputs"], Float[Array, " n"]], Float[Array, ""]]


class Objective(Protocol):
    """Loss of a batch, and the variables that moved with it."""

    def __call__(
        self,
        apply: Apply,
        variables: dict[str, Any],
        x: Float[Array, "n h w c"],
        mos: Float[Array, " n"],
        rngs: dict[str, Array],
        **options: Any,
    ) -> tuple[Float[Array, ""], dict[str, Any]]:
        """Args:
          apply: of the model's module, or the same in parts (micro_batches.py).
          variables: of the model.
          x: normalised images (or the map that options name).
          mos: (n,) labels.
          rngs: keys of dropout.
          options: of the module's call.

        Returns:
          loss, {"batch_stats": ...} after the batch.
        """
        ...


def _of_outputs(loss: OutputLoss) -> Objective:
    def of_batch(
        apply: Apply, variables: dict[str, Any], x: Array, mos: Array, rngs: dict[str, Array], **options: Any
    ) -> tuple[Array, dict[str, Any]]:
        outputs, moved = apply(variables, x, train=True, rngs=rngs, mutable=["batch_stats"], **options)
        return loss(outputs, mos), dict(moved)

    return of_batch


def _tres(
    apply: Apply,
    variables: dict[str, Any],
    x: Array,
    mos: Array,
    rngs: dict[str, Array],
    *,
    axis_name: str | None = None,
    **options: Any,
) -> tuple[Array, dict[str, Any]]:
    scores: list[Array] = []
    consistencies: list[Array] = []
    for i, images in enumerate((x, jnp.flip(x, 2))):
        rngs = {name: jax.random.fold_in(key, i) for name, key in rngs.items()}
        (view, other), moved = apply(
            variables, images, train=True, rngs=rngs, mutable=["batch_stats"], method="both_views", **options
        )
        variables = {**variables, **moved}
        scores.append(gathered(view.score[:, 0], axis_name))
        consistency = self_consistency(view.encoded, other.encoded, view.layer4, other.layer4)
        consistencies.append(averaged(consistency, axis_name))
    loss = tres_loss(scores[0], scores[1], consistencies[0], consistencies[1], gathered(mos, axis_name))
    return loss, {"batch_stats": variables["batch_stats"]}


PUBLISHED: dict[str, LossName] = {
    "linearity": "norm-in-norm",
    "koncept512": "squared",
    "tres": "absolute",
    "hyperiqa": "absolute",
    "dbcnn": "squared",
    "maniqa": "squared",
}
"""Loss of the scores that each architecture was published with; TReS adds terms of its own (tres_loss.py)."""


def output_loss(config: TrainConfig, axis_name: str | None = None) -> OutputLoss:
    """Loss of a batch's outputs: config.loss or the published one, and config.monotonicity times that term.

    With axis_name each device gives its part of the batch and gets the loss of the whole; average the gradients.

    Raises:
      ValueError: unknown loss, or one chosen for TReS.
    """
    if config.model.architecture == "tres" and (config.loss is not None or config.monotonicity):
        raise ValueError("--loss, --monotonicity: TReS is trained with a loss of its own; leave them out")
    if config.loss is not None and config.loss not in LOSSES:
        raise ValueError(f"--loss {config.loss}: not a loss; choose one of {', '.join(LOSSES)}")
    plain = LOSSES[config.loss or PUBLISHED[config.model.architecture]]

    def of_scores(predictions: Array, mos: Array) -> Array:
        if not config.monotonicity:
            return plain(predictions, mos)
        return plain(predictions, mos) + config.monotonicity * monotonicity(predictions, mos)

    return lambda outputs, mos: total_loss(of_scores, gathered(outputs, axis_name), gathered(mos, axis_name))


def objective(config: TrainConfig, axis_name: str | None = None) -> Objective:
    """The run's objective; axis_name as in `output_loss`.

    Raises:
      ValueError: as `output_loss`.
    """
    loss = output_loss(config, axis_name)
    return partial(_tres, axis_name=axis_name) if config.model.architecture == "tres" else _of_outputs(loss)
