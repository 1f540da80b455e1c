"""A trained Scorer on disk: model.safetensors (weights) and model.json (spec, calibration, provenance).
Formats that other frameworks read; nothing in them is executed on loading."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jaxtyping import Array
from safetensors import SafetensorError
from safetensors.numpy import load_file
from safetensors.numpy import save as safetensors_bytes

from robust_iqa_jax.files import OUT, check_outputs, cure, own_file, recognise
from robust_iqa_jax.models.hub import hub_folder, is_address
from robust_iqa_jax.models.registry import COLLECTIONS, shapes
from robust_iqa_jax.models.scorer import Calibration, Scorer
from robust_iqa_jax.models.shipped import shipped_folder
from robust_iqa_jax.models.spec import ModelSpec
from robust_iqa_jax.weights.tensor_checks import check_calibration, check_tensors
from robust_iqa_jax.weights.torch_pickle import CheckpointError

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
FORMAT = 1
FOREIGN = (".pth", ".pt", ".ckpt", ".bin", ".safetensors", ".msgpack")
"""Ends of names of files that `riqa convert` may read."""


def save(
    folder: str | os.PathLike[str], scorer: Scorer, facts: dict[str, Any] | None = None, half: bool = False
) -> None:
    """Write a scorer to `folder`; a reader sees the old files or the new ones, never half of one.

    Args:
      folder: created where missing.
      scorer: what to write.
      facts: JSON-able provenance (configuration, accuracy) kept under "facts".
      half: store parameters in half precision; `load` gives them in float32. Batch statistics stay as they are: small
        variances would lose digits.
    """
    folder = Path(folder)
    check_save(folder)
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: scorer.variables[name] for name in COLLECTIONS}
    if half:
        weights["params"] = jax.tree.map(lambda leaf: np.asarray(leaf, np.float16), weights["params"])
    tensors = {name: np.asarray(leaf) for name, leaf in traverse_util.flatten_dict(weights, sep="/").items()}
    calibration = {name: float(value) for name, value in vars(scorer.calibration).items()}
    description = {
        "format": FORMAT,
        "spec": scorer.spec.to_json(),
        "calibration": calibration,
        "label": scorer.label,
        "facts": facts or {},
    }
    try:
        with own_file(folder / DESCRIPTION) as described, own_file(folder / WEIGHTS) as weighed:
            weighed.write_bytes(safetensors_bytes(tensors))  # its own save_file is readable by its owner alone
            described.write_text(json.dumps(description, indent=2) + "\n")
    except (SafetensorError, OSError) as error:  # the first for a full disk, too
        if is_new and not any(folder.iterdir()):
            folder.rmdir()
        raise OSError(f"{folder}: the model cannot be written ({error}); {cure(error)}") from error


def check_save(folder: Path, inputs: Iterable[Path] = (), place: str = OUT) -> None:
    """Raise ValueError where `save` would replace an input, or files that are not a model's of ours.

    Args:
      folder: of the model to be; it need not exist.
      inputs: files that are read.
      place: what gives the folder, for the message; may have a `setting` in it.
    """
    paths = [folder / DESCRIPTION, folder / WEIGHTS]
    recognise(paths, lambda: _is_description(folder / DESCRIPTION))
    check_outputs(paths, inputs, place)


def find(path: str | os.PathLike[str] | None) -> Path:
    """The folder with the files of a checkpoint; nothing in them is read.

    Args:
      path: as `load` takes it.

    Raises:
      CheckpointError: no checkpoint there; one line that says what is, and what to do.
    """
    try:
        shipped = shipped_folder(path)
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    if shipped is not None:
        return shipped
    named = cast(str, path)
    place = folder = hub_folder(named, (DESCRIPTION, WEIGHTS)) if is_address(named) else Path(named)
    if not (folder / DESCRIPTION).is_file() and (folder / "model" / DESCRIPTION).is_file():
        folder = folder / "model"
    for name in (DESCRIPTION, WEIGHTS):
        if not (folder / name).is_file():
            raise CheckpointError(f"{path}: {_absent(place, name)}")
    return folder


def facts(path: str | os.PathLike[str] | None) -> dict[str, Any]:
    """What `save` was told about where a checkpoint comes from, without reading its weights; empty where nothing is.

    Args:
      path: as `load` takes it.
    """
    description = find(path) / DESCRIPTION
    return json.loads(description.read_text()).get("facts") or {} if _is_description(description) else {}


def _is_description(path: Path) -> bool:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and {"format", "spec", "calibration"} <= found.keys()


def load(path: str | os.PathLike[str] | None = None) -> Scorer:
    """Read a scorer: weights and calibration as they were saved. For many calls with these weights, `prepare` it.

    Args:
      path: name of a model that ships (models.shipped.SHIPPED; "robust-lite0" where not given), folder written by
        `save`, the work folder of a training run (its `model` sub-folder is taken), or "hf://OWNER/NAME", a folder of
        `save` or `riqa export` on the Hugging Face hub (extra "hub"), also with @REVISION.

    Raises:
      MissingExtra: the hub's package is not installed.
      CheckpointError: no checkpoint there, a damaged or incomplete one, or weights that do not fit its description;
        one line that names the file.
    """
    folder = find(path)
    try:
        description = json.loads((folder / DESCRIPTION).read_text())
        if description["format"] != FORMAT:
            raise ValueError(f"format {description['format']}, this version reads {FORMAT}")
        spec = ModelSpec.from_json(description["spec"])
        fields = {name: float(description["calibration"][name]) for name in ("slope", "intercept", "low", "high")}
        check_calibration(fields)
        calibration = Calibration(**{name: jnp.float32(value) for name, value in fields.items()})
        label = str(description["label"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder / DESCRIPTION}: not a readable model description ({error})") from error
    try:
        tensors = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{folder / WEIGHTS}: damaged or truncated weights ({error})") from error
    _check(folder / WEIGHTS, tensors, spec)
    read = jax.tree.map(_in_single, traverse_util.unflatten_dict(tensors, sep="/"))
    variables = {name: read.get(name, {}) for name in COLLECTIONS}
    return Scorer(variables, calibration, spec, label)


def _in_single(tensor: np.ndarray) -> Array:
    """As it was saved, but for half precision, which is a way to store weights and not to compute with them."""
    return jnp.asarray(tensor, jnp.float32 if tensor.dtype == np.float16 else None)


def _absent(path: Path, name: str) -> str:
    """What to say where a checkpoint has no file of this name."""
    if not path.exists():
        return "no such checkpoint"
    inside = sorted(p.parent for d in (DESCRIPTION, f"model/{DESCRIPTION}") for p in path.glob(f"*/{d}"))
    names = sorted({str(path / folder.relative_to(path).parts[0]) for folder in inside})
    if names:
        return f"is no model itself, but holds some; give one of {', '.join(names)}"
    if path.is_file() or any(found.suffix in FOREIGN for found in path.iterdir() if found.is_file()):
        return f"no {name} there; make a checkpoint of published weights with `riqa convert FILE OUT --model NAME`"
    return f"no {name} there; give a folder that `riqa train`, `riqa quickstart` or `riqa convert` wrote"


def _check(path: Path, tensors: dict[str, np.ndarray], spec: ModelSpec) -> None:
    expected: dict[str, Any] = traverse_util.flatten_dict(shapes(spec), sep="/")
    missing, unknown = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    wrong = [n for n in expected.keys() & tensors.keys() if expected[n].shape != tensors[n].shape]
    for problem, names in (("missing", missing), ("unknown", unknown), ("wrong shape", wrong)):
        if names:
            raise CheckpointError(
                f"{path}: {len(names)} tensors {problem}, first {names[0]}; it is not this model's file"
            )
    try:
        check_tensors(tensors)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}; it is damaged, train or convert the model again") from error
