"""Evaluation during training, on photos that it does not train on: which weights were the best, and when to end.
Early stopping with a patience, counted in evaluations (Prechelt 1998, Early Stopping - But When?)."""

from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from robust_iqa_jax.data.photo_set import PhotoSet
from robust_iqa_jax.evaluation.predictions import predict
from robust_iqa_jax.metrics.accuracy import srocc
from robust_iqa_jax.models.scorer import Calibration, Scorer
from robust_iqa_jax.setting_error import SettingError, setting
from robust_iqa_jax.training.config import TrainConfig
from robust_iqa_jax.training.resume import Evaluations, best_step


class Validation:
    """The evaluations of a run on its validation photos; of a run without any there are none.

    Attributes:
      evaluations: (step, SROCC after it), in order; a run that goes on puts here what it did before.
    """

    def __init__(self, config: TrainConfig, photos: PhotoSet | None, training_photos: int) -> None:
        """Check the run's settings.

        Raises:
          ValueError: a number below 1, or a patience with nothing to wait for.
        """
        for name in ("validate_every", "patience"):
            value = getattr(config, name)
            if value is not None and (value < 1 or photos is None):
                cure = f"needs {setting('validation_group')}" if photos is None else "must be 1 or more"
                raise SettingError(f"{setting(name)} {value}: {cure}")
        self.evaluations: Evaluations = []
        self._spec, self._photos, self._patience = config.model, photos, config.patience
        self._every = config.validate_every or max(1, round(training_photos / config.batch_size))

    def due(self, step: int, total: int) -> bool:
        """Whether there is to be an evaluation after this step."""
        return self._photos is not None and (step == total or step % self._every == 0)

    def evaluate(self, step: int, variables: dict[str, Any]) -> float:
        """SROCC of the model with the photos' scores, -1..1, as the first process finds it; added to `evaluations`."""
        assert self._photos is not None
        scores = predict(Scorer(variables, Calibration.identity(), self._spec), self._photos)
        result = srocc(scores, self._photos.scores)
        if jax.process_count() > 1:
            result = float(multihost_utils.broadcast_one_to_all(np.float32(result)))
        self.evaluations.append((step, result))
        return result

    @property
    def converged(self) -> bool:
        """Whether the run's patience has seen no better evaluation than an earlier one; never without a patience."""
        best = best_step(self.evaluations)
        if self._patience is None or best is None:
            return False
        return sum(step > best for step, _ in self.evaluations) >= self._patience
