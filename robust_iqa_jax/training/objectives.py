"""The loss that a run trains with: its architecture's published one, or the one that the configuration names."""

from jaxtyping import Array

from robust_iqa_jax.devices import all_rows
from robust_iqa_jax.losses.objective import Objective, of_outputs
from robust_iqa_jax.losses.ranking import monotonicity
from robust_iqa_jax.losses.total import LOSSES, OutputLoss, total_loss
from robust_iqa_jax.models.architectures import architecture
from robust_iqa_jax.setting_error import SettingError, setting
from robust_iqa_jax.training.config import TrainConfig


def output_loss(config: TrainConfig, axis_name: str | None = None) -> OutputLoss:
    """Loss of a batch's outputs: config.loss or the published one, and config.monotonicity times that term.

    With axis_name each device gives its part of the batch and gets the loss of the whole; average the gradients.

    Raises:
      ValueError: unknown loss, or one chosen for an architecture with an objective of its own (TReS).
    """
    record = architecture(config.model)
    if record.objective is not None and (config.loss is not None or config.monotonicity):
        both = f"{setting('loss')}, {setting('monotonicity')}"
        raise SettingError(f"{both}: {record.title} is trained with a loss of its own; leave them out")
    if config.loss is not None and config.loss not in LOSSES:
        raise SettingError(f"{setting('loss')} {config.loss}: not a loss; choose one of {', '.join(LOSSES)}")
    plain = LOSSES[config.loss or record.loss]

    def of_scores(predictions: Array, mos: Array) -> Array:
        if not config.monotonicity:
            return plain(predictions, mos)
        return plain(predictions, mos) + config.monotonicity * monotonicity(predictions, mos)

    return lambda outputs, mos: total_loss(of_scores, all_rows(outputs, axis_name), all_rows(mos, axis_name))


def objective(config: TrainConfig, axis_name: str | None = None) -> Objective:
    """The run's objective; axis_name and errors as in `output_loss`."""
    loss, own = output_loss(config, axis_name), architecture(config.model).objective
    return of_outputs(loss) if own is None else own(axis_name)
