"""From PyTorch's named tensors to Flax variables: a name for every variable, a layout for every rank, and a report.
Each architecture and backbone brings only its names (a Release); the rules of layout are the same for all."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import flax.traverse_util
import numpy as np

from robust_iqa_jax.weights.tensor_checks import wrong_values
from robust_iqa_jax.weights.torch_pickle import CheckpointError

Tensors = Mapping[str, np.ndarray]
"""Name -> array, as a file has them."""

Path = tuple[str, ...]
"""Path of a variable: collection, modules, leaf; ("params", "layer1_0", "bn1", "scale")."""

LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
"""Flax's names of the parameters and statistics of convolutions, dense layers and norms -> PyTorch's."""

COUNTERS = ".num_batches_tracked"
"""End of the names of tensors that no model needs: the momentum of batch normalisation is fixed."""

TORCH_AXES = {4: (2, 3, 1, 0), 2: (1, 0)}
"""Order of the axes of a convolution's and a dense layer's weights, from PyTorch's to Flax's."""

_LISTED = 8


@dataclass(frozen=True)
class Release:
    """Names that published files give to a model's tensors.

    Attributes:
      name: of the release, as the report shows it.
      name_of: path of a variable -> the release's name of it.
      ignored: names of tensors of the release that the model does without (a classifier's, say).
      plain: tensors as files of the release have them -> under the names of `name_of`.
      axes: see `from_torch`.
    """

    name: str
    name_of: Callable[[Path], str]
    ignored: Callable[[str], bool] = lambda name: False
    plain: Callable[[Tensors], Tensors] = lambda tensors: tensors
    axes: Mapping[int, tuple[int, ...]] = field(default_factory=lambda: TORCH_AXES)

    def under(self, module: str = "backbone") -> "Release":
        """Names of a file that holds this part of a model alone; what else the model has is missing from the file,
        under its Flax name."""

        def name_of(path: Path) -> str:
            return self.name_of((path[0], *path[2:])) if path[1] == module else "/".join(path)

        return dataclasses.replace(self, name_of=name_of)


@dataclass(frozen=True)
class Report:
    """What became of the tensors of a checkpoint, by their PyTorch names.

    Attributes:
      used: found and taken.
      unused: in the checkpoint, asked for by nothing.
      missing: asked for, not in the checkpoint.
      misshapen: found, with another shape: "name (found) instead of (expected)".
      not_finite: found, with NaN or infinity in it.
      negative: found, variances with values below zero.
      not_floats: found, integers: of quantised weights, say.
      prefix: that the names of all of these were found behind.
      outside: in the checkpoint, without that prefix, or the same weights behind another one.
      twins: those other prefixes.
    """

    used: tuple[str, ...]
    unused: tuple[str, ...]
    missing: tuple[str, ...]
    misshapen: tuple[str, ...]
    not_finite: tuple[str, ...]
    negative: tuple[str, ...] = ()
    not_floats: tuple[str, ...] = ()
    prefix: str = ""
    outside: tuple[str, ...] = ()
    twins: tuple[str, ...] = ()

    def problems(self, allow_missing: bool = False) -> str:
        """One line, empty where the checkpoint fits; `allow_missing` forgives what is missing or unused."""
        kinds = {
            "of another shape": self.misshapen,
            "not finite": self.not_finite,
            "negative variances": self.negative,
            "not floats": self.not_floats,
        }
        if not allow_missing:
            kinds = {"missing": self.missing, "unused": self.unused, **kinds}
        return "; ".join(f"{len(names)} {kind}: {listed(names)}" for kind, names in kinds.items() if names)


def listed(names: tuple[str, ...]) -> str:
    """The first few names and how many more there are."""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def from_torch(
    tensors: Tensors,
    shapes: Mapping[str, Any],
    torch_name: Callable[[Path], str],
    ignored: Callable[[str], bool] = lambda name: False,
    axes: Mapping[int, tuple[int, ...]] = TORCH_AXES,
) -> tuple[dict[str, Any], Report]:
    """Variables of a model from PyTorch's tensors.

    Convolutions (out, in, kh, kw) become (kh, kw, in, out), dense kernels (out, in) become (in, out), all else keeps
    the order of its axes; axes of length one may be dropped or added.

    Args:
      tensors: PyTorch name -> array.
      shapes: the model's variables with `.shape` leaves, as jax.eval_shape of its init gives them.
      torch_name: path of a variable -> PyTorch's name of it.
      ignored: names of tensors that the model does without (a classifier's, say); counters of batches always are.
      axes: rank -> order of the axes; empty for tensors that are laid out as Flax has them.

    Returns:
      variables with numpy leaves of the tensors' type, holding what fits; and the report.
    """
    leaves: dict[Path, Any] = flax.traverse_util.flatten_dict(dict(shapes))  # pyright: ignore[reportAssignmentType]
    flat, missing, misshapen, used = {}, [], [], []
    wrong: dict[str, list[str]] = {"not finite": [], "negative variances": [], "not floats": []}
    for path, leaf in leaves.items():
        name = torch_name(path)
        if name not in tensors:
            missing.append(name)
            continue
        tensor, expected = np.asarray(tensors[name]), tuple(leaf.shape)
        used.append(name)
        array = tensor.transpose(axes.get(tensor.ndim, range(tensor.ndim)))
        if _without_ones(array.shape) != _without_ones(expected):
            back = [expected[i] for i in np.argsort(axes[len(expected)])] if len(expected) in axes else expected
            misshapen.append(f"{name} {tensor.shape} instead of {tuple(back)}")
        elif values := wrong_values("/".join(path), array):
            wrong[values].append(name)
        else:
            flat[path] = np.ascontiguousarray(array).reshape(expected)
    known = {*used, *missing}
    unused = [name for name in tensors if not (name in known or name.endswith(COUNTERS) or ignored(name))]
    report = Report(
        used=tuple(used),
        unused=tuple(unused),
        missing=tuple(missing),
        misshapen=tuple(misshapen),
        not_finite=tuple(wrong["not finite"]),
        negative=tuple(wrong["negative variances"]),
        not_floats=tuple(wrong["not floats"]),
    )
    return flax.traverse_util.unflatten_dict(flat), report


def require_fit(report: Report, what: str) -> None:
    """Raise CheckpointError naming what is missing, unused, misshapen or of values that no model can have."""
    if problems := report.problems():
        raise CheckpointError(f"does not fit {what}: {problems}")


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n for n in shape if n != 1)
