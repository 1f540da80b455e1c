"""Values that weights cannot have: NaN and infinity, variances below zero, integers where a model computes.
A model that holds them scores NaN, or something that is not its score."""

from collections.abc import Mapping
from typing import Any

import numpy as np

VARIANCES = ("running_var", "var")
"""Last parts of the names of variances, in PyTorch and in Flax."""


def wrong_values(name: str, values: Any) -> str:
    """What is wrong with the values of a tensor: "not finite", "negative variances", "not floats" or "".

    Args:
      name: of the tensor, "layer1.0.bn1.running_var" or "batch_stats/bn1/var".
      values: an array.
    """
    array = np.asarray(values)
    if array.dtype.kind != "f" and array.dtype.name != "bfloat16":
        return "not floats"
    with np.errstate(over="ignore"):  # float64 beyond float32's range is infinity to the model
        narrow = array.astype(np.float32, copy=False)
    if not np.isfinite(narrow).all():
        return "not finite"
    last = name.replace("/", ".").rsplit(".", 1)[-1]
    return "negative variances" if last in VARIANCES and (narrow < 0).any() else ""


def check_tensors(tensors: Mapping[str, Any]) -> None:
    """Raise ValueError naming the first of the tensors whose values no model can have, and how many there are."""
    found = {name: wrong for name, values in tensors.items() if (wrong := wrong_values(name, values))}
    if found:
        name, wrong = next(iter(found.items()))
        raise ValueError(f"{len(found)} tensors with values that no model can have, first {name}: {wrong}")


def check_calibration(calibration: Mapping[str, float]) -> None:
    """Raise ValueError naming a value of a calibration (slope, intercept, low, high) that is not finite in float32."""
    with np.errstate(over="ignore"):
        for name, value in calibration.items():
            if not np.isfinite(np.float32(value)):
                raise ValueError(f"{name} is {float(value):g}; a calibration must be finite")
