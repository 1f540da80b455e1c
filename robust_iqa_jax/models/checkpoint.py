"""A trained Scorer on disk: model.safetensors (weights) and model.json (spec, calibration, provenance).
Formats that other frameworks read; nothing in them is executed on loading."""

import json
import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from robust_iqa_jax.data.whole_file import whole_file
from robust_iqa_jax.models.registry import COLLECTIONS, shapes
from robust_iqa_jax.models.scorer import Calibration, Scorer
from robust_iqa_jax.models.spec import ModelSpec
from robust_iqa_jax.weights.torch_pickle import CheckpointError

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
FORMAT = 1


def save(folder: str | os.PathLike[str], scorer: Scorer, facts: dict[str, Any] | None = None) -> None:
    """Write a scorer to `folder`; a reader sees the old files or the new ones, never half of one.

    Args:
      folder: created where missing.
      scorer: what to write.
      facts: JSON-able provenance (configuration, accuracy) kept under "facts".
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: scorer.variables[name] for name in COLLECTIONS}
    tensors = {name: np.asarray(leaf) for name, leaf in traverse_util.flatten_dict(weights, sep="/").items()}
    calibration = {name: float(value) for name, value in vars(scorer.calibration).items()}
    description = {
        "format": FORMAT,
        "spec": scorer.spec.to_json(),
        "calibration": calibration,
        "label": scorer.label,
        "facts": facts or {},
    }
    with whole_file(folder / DESCRIPTION) as described, whole_file(folder / WEIGHTS) as weighed:
        save_file(tensors, weighed)
        described.write_text(json.dumps(description, indent=2) + "\n")


def load(path: str | os.PathLike[str]) -> Scorer:
    """Read a scorer: weights and calibration as they were saved. For many calls with these weights, `prepare` it.

    Args:
      path: folder written by `save`, or the work folder of a training run (its `model` sub-folder is taken).

    Raises:
      CheckpointError: no checkpoint there, a damaged or incomplete one, or weights that do not fit its description;
        one line that names the file.
    """
    folder = Path(path)
    if not (folder / DESCRIPTION).is_file() and (folder / "model" / DESCRIPTION).is_file():
        folder = folder / "model"
    for name in (DESCRIPTION, WEIGHTS):
        if not (folder / name).is_file():
            raise CheckpointError(
                f"{path}: no {name} there; give a folder that `riqa train` or `riqa quickstart` wrote"
            )
    try:
        description = json.loads((folder / DESCRIPTION).read_text())
        if description["format"] != FORMAT:
            raise ValueError(f"format {description['format']}, this version reads {FORMAT}")
        spec = ModelSpec.from_json(description["spec"])
        fields = description["calibration"]
        calibration = Calibration(**{name: jnp.float32(fields[name]) for name in ("slope", "intercept", "low", "high")})
        label = str(description["label"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder / DESCRIPTION}: not a readable model description ({error})") from error
    try:
        tensors = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{folder / WEIGHTS}: damaged or truncated weights ({error})") from error
    _check(folder / WEIGHTS, tensors, spec)
    read = jax.tree.map(jnp.asarray, traverse_util.unflatten_dict(tensors, sep="/"))
    variables = {name: read.get(name, {}) for name in COLLECTIONS}
    return Scorer(variables, calibration, spec, label)


def _check(path: Path, tensors: dict[str, np.ndarray], spec: ModelSpec) -> None:
    expected: dict[str, Any] = traverse_util.flatten_dict(shapes(spec), sep="/")
    missing, unknown = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    wrong = [n for n in expected.keys() & tensors.keys() if expected[n].shape != tensors[n].shape]
    broken = [n for n in tensors if not np.isfinite(tensors[n]).all()]
    for problem, names in (("missing", missing), ("unknown", unknown), ("wrong shape", wrong), ("not finite", broken)):
        if names:
            raise CheckpointError(
                f"{path}: {len(names)} tensors {problem}, first {names[0]}; it is not this model's file"
            )
