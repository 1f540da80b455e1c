"""What weights cannot be: NaN, infinity, variances below zero, integers where a model computes, more than their file.
A model that holds such values scores NaN, or something that is not its score."""

from collections.abc import Mapping
from typing import Any

import numpy as np

VARIANCES = ("running_var", "var")
"""Last parts of the names of variances, in PyTorch and in Flax."""

_TIMES, _SPARE = 16, 1 << 24


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


def check_declared(declared: int, on_disk: int) -> None:
    """Raise ValueError where a file declares far more than it can hold, however it is packed.

    Views that show an element several times, and files that are packed, need more than their size; not without a bound.

    Args:
      declared: bytes of what it says to hold.
      on_disk: bytes of the file.
    """
    if declared > _TIMES * on_disk + _SPARE:
        raise ValueError(f"declares {_size(declared)} of tensors in {_size(on_disk)} of file")


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e8 else f"{count:,} bytes"
