"""The linear map from a model's outputs to the data set's scale.
Source: LinearityIQA fits score = k q + b by least squares on the training set, in evaluation mode (sources.md 2.1)."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from robust_iqa_jax.metrics.scores import Scores
from robust_iqa_jax.models.scorer import Calibration, Scorer


def calibrate(scorer: Scorer, outputs: Scores, targets: Scores) -> Scorer:
    """The scorer on the scale of `targets`: least squares of them on its outputs, extremes of the result.

    Args:
      scorer: with any calibration; it is replaced.
      outputs: (n,) uncalibrated scores of the training photos.
      targets: (n,) their opinion scores.

    Raises:
      ValueError: the outputs are all equal, or not finite.
    """
    if not np.isfinite(outputs).all() or np.ptp(outputs) == 0:
        raise ValueError("calibration: the model gives every training photo the same or a non-finite score")
    slope, intercept = np.polyfit(outputs, targets, 1)
    scores = slope * outputs + intercept
    calibration = Calibration(*(jnp.float32(v) for v in (slope, intercept, scores.min(), scores.max())))
    return dataclasses.replace(scorer, calibration=calibration)
