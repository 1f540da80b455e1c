"""Names that published checkpoints give to a model's tensors, and the conversion of a file to a Scorer's variables.
A new release is one row; its names live in weights/."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from robust_iqa_jax.models.registry import shapes
from robust_iqa_jax.models.spec import ModelSpec
from robust_iqa_jax.weights import efficientnet_lite, resnet
from robust_iqa_jax.weights.conversion import TORCH_AXES, Path, Report, from_torch


@dataclass(frozen=True)
class Release:
    """A naming of a model's tensors.

    Attributes:
      name: of the release, as the report shows it.
      name_of: path of a variable -> the release's name of it.
      ignored: names of tensors of the release that the model does without.
      axes: see weights.conversion.from_torch.
    """

    name: str
    name_of: Callable[[Path], str]
    ignored: Callable[[str], bool] = lambda name: False
    axes: dict[int, tuple[int, ...]] | None = None


def releases(spec: ModelSpec) -> tuple[Release, ...]:
    """The namings that a model's checkpoint may have; Flax's own (and ours) comes last."""
    return (*_RELEASES[spec.architecture](spec), Release("flax", "/".join, axes={}))


def convert(tensors: dict[str, np.ndarray], spec: ModelSpec) -> tuple[dict[str, Any], Report, Release]:
    """Variables of the model from a checkpoint's tensors, by the release that explains most of them.

    Args:
      tensors: name -> array, from weights.read.
      spec: the model.

    Returns:
      what fits, as nested variables; the report; the release.

    Raises:
      ValueError: unknown architecture, backbone or feature map.
    """
    expected = shapes(spec)
    candidates = []
    for release in releases(spec):
        axes = TORCH_AXES if release.axes is None else release.axes
        variables, report = from_torch(tensors, expected, release.name_of, release.ignored, axes)
        candidates.append((variables, report, release))
    return max(candidates, key=lambda found: len(found[1].used))


def _inside_backbone(name_of: Callable[[Path], str]) -> Callable[[Path], str]:
    """Names of a release that holds the backbone only; what else the model has is missing under its Flax name."""

    def name(path: Path) -> str:
        return name_of((path[0], *path[2:])) if path[1] == "backbone" else "/".join(path)

    return name


def _linearity(spec: ModelSpec) -> tuple[Release, ...]:
    if spec.backbone.startswith("efficientnet_"):
        variant = spec.backbone.removeprefix("efficientnet_")
        names = _inside_backbone(partial(efficientnet_lite.torch_name, variant=variant))
        return (Release("efficientnet-lite-pytorch", names, efficientnet_lite.is_classifier),)
    return (Release("torchvision", _inside_backbone(resnet.torch_name), resnet.is_classifier),)


_RELEASES: dict[str, Callable[[ModelSpec], tuple[Release, ...]]] = {"linearity": _linearity}
