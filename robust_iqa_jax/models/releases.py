"""Names that published checkpoints give to a model's tensors, and the conversion of a file to a model's variables.
A new release is one row; its names live in weights/."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import flax.traverse_util
import numpy as np

from robust_iqa_jax.models.registry import shapes
from robust_iqa_jax.models.spec import ModelSpec
from robust_iqa_jax.weights import (
    dbcnn,
    efficientnet_lite,
    hyper_iqa,
    inception_resnet_v2,
    koncept512,
    linearity_iqa,
    maniqa,
    resnet,
    tres,
    vgg,
    vit,
)
from robust_iqa_jax.weights.conversion import TORCH_AXES, Path, Report, from_torch
from robust_iqa_jax.weights.entries import is_averaged

Tensors = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Release:
    """A naming of a model's tensors.

    Attributes:
      name: of the release, as the report shows it.
      name_of: path of a variable -> the release's name of it.
      ignored: names of tensors of the release that the model does without.
      plain: tensors as files of the release have them -> under the names of `name_of`.
      axes: see weights.conversion.from_torch.
    """

    name: str
    name_of: Callable[[Path], str]
    ignored: Callable[[str], bool] = lambda name: False
    plain: Callable[[Tensors], Tensors] = lambda tensors: tensors
    axes: Mapping[int, tuple[int, ...]] = field(default_factory=lambda: TORCH_AXES)


def releases(spec: ModelSpec) -> tuple[Release, ...]:
    """The namings that a model's checkpoint may have; Flax's own (and ours) comes last."""
    return (*_RELEASES[spec.architecture](spec), Release("flax", "/".join, axes={}))


def convert(tensors: Tensors, spec: ModelSpec) -> tuple[dict[str, Any], Report, Release]:
    """Variables of the model from a checkpoint's tensors, by the release that explains most of them.

    Args:
      tensors: name -> array, from weights.read.
      spec: the model.

    Returns:
      what fits, as nested variables; the report; the release.

    Raises:
      ValueError: unknown architecture, backbone or feature map.
      CheckpointError: a checkpoint that contradicts the model, by its normalisation or its block, say.
    """
    expected = shapes(spec)
    paths = flax.traverse_util.flatten_dict(expected)
    fits = [_fit(tensors, release, {release.name_of(path) for path in paths}) for release in releases(spec)]
    # by their names alone: converting a model costs a copy of it
    best = max(fits, key=lambda fit: (fit.explained, not fit.prefix))
    release = best.release
    variables, report = from_torch(best.named, expected, release.name_of, release.ignored, release.axes)
    twins = tuple(f"{prefix}." for prefix in best.twins)
    outside = [name for name in tensors if not name.startswith(best.prefix) or name.startswith(twins)]
    unused = tuple(name for name in report.unused if not name.startswith(twins))
    report = dataclasses.replace(report, unused=unused, prefix=best.prefix, outside=tuple(outside), twins=best.twins)
    return variables, report, release


@dataclass(frozen=True)
class _Fit:
    """A checkpoint read as one release: tensors behind `prefix` by the release's names, how many names they explain,
    and other prefixes behind which as many are found."""

    release: Release
    prefix: str
    named: Tensors
    explained: int
    twins: tuple[str, ...]


def _fit(tensors: Tensors, release: Release, names: set[str]) -> _Fit:
    """The release's names as they are, or behind the prefix that a training framework gave to all of them."""
    found = _behind_prefixes(tensors, names)
    named = release.plain(tensors)
    fit = _Fit(release, "", named, len(names & named.keys()), ())
    if found and max(found.values()) > fit.explained:
        prefix = max(found, key=lambda each: (found[each], not is_averaged(each)))
        named = release.plain({name.removeprefix(prefix): v for name, v in tensors.items() if name.startswith(prefix)})
        if (explained := len(names & named.keys())) > fit.explained:
            fit = _Fit(release, prefix, named, explained, ())
    # behind the prefix that was taken, or that `plain` took off, the same names do not stand once more
    again = [p for p in found if p != fit.prefix and (fit.prefix or any(p + name in fit.named for name in names))]
    return dataclasses.replace(fit, twins=tuple(p[:-1] for p in again if found[p] >= fit.explained))


def _behind_prefixes(tensors: Tensors, names: set[str]) -> dict[str, int]:
    """Prefixes of up to four parts -> how many of the names stand behind them."""
    found: dict[str, int] = {}
    for name in tensors:
        ends = [end for end, character in enumerate(name, 1) if character in "./"][:4]
        for end in ends:
            if name[end:] in names:
                found[name[:end]] = found.get(name[:end], 0) + 1
    return found


def _backbone_alone(name_of: Callable[[Path], str], module: str = "backbone") -> Callable[[Path], str]:
    """Names of a file of the backbone only; what else the model has is missing, under its Flax name."""
    return lambda path: name_of((path[0], *path[2:])) if path[1] == module else "/".join(path)


def _linearity(spec: ModelSpec) -> tuple[Release, ...]:
    if spec.backbone.startswith("efficientnet_"):
        variant = spec.backbone.removeprefix("efficientnet_")
        names = _backbone_alone(partial(efficientnet_lite.torch_name, variant=variant))
        return (Release("efficientnet-lite-pytorch", names, efficientnet_lite.is_classifier),)
    if spec.backbone == "inception_resnet_v2":
        return (_cadene(),)
    if spec.backbone == "vgg16":
        return (Release("torchvision", _backbone_alone(vgg.torch_name), vgg.is_classifier),)
    if spec.backbone.startswith("vit_"):
        return (Release("timm", _backbone_alone(vit.torch_name), vit.ignored),)
    torchvision = Release("torchvision", _backbone_alone(resnet.torch_name), resnet.is_classifier)
    if spec.block is not None and spec.block.at not in linearity_iqa.BLOCKS:
        return (torchvision,)
    at = "layer3" if spec.block is None else spec.block.at
    names = partial(linearity_iqa.torch_name, block_at=at)
    return (Release("LinearityIQA", names, plain=linearity_iqa.to_release), torchvision)


def _cadene() -> Release:
    names = _backbone_alone(inception_resnet_v2.torch_name)
    return Release("Cadene", names, inception_resnet_v2.is_classifier)


def _koncept512(spec: ModelSpec) -> tuple[Release, ...]:
    return (Release("koniq-PyTorch", koncept512.torch_name, plain=koncept512.canonical), _cadene())


def _tres(spec: ModelSpec) -> tuple[Release, ...]:
    torchvision = Release("torchvision", _backbone_alone(resnet.torch_name), resnet.is_classifier)
    return (Release("TReS", tres.torch_name, tres.is_ignored), torchvision)


def _hyper_iqa(spec: ModelSpec) -> tuple[Release, ...]:
    torchvision = Release("torchvision", _backbone_alone(resnet.torch_name), resnet.is_classifier)
    return (Release("HyperIQA", hyper_iqa.torch_name, plain=hyper_iqa.to_release), torchvision)


def _dbcnn(spec: ModelSpec) -> tuple[Release, ...]:
    return (
        Release("DBCNN", dbcnn.torch_name, dbcnn.is_block, plain=dbcnn.to_release),
        Release("torchvision", _backbone_alone(vgg.torch_name, "vgg"), vgg.is_classifier),
        Release("SCNN", _backbone_alone(dbcnn.scnn_name, "scnn"), dbcnn.is_scnn_classifier, dbcnn.to_release),
    )


def _maniqa(spec: ModelSpec) -> tuple[Release, ...]:
    return (
        Release("MANIQA", maniqa.torch_name, maniqa.ignored),
        Release("MANIQA_dali", maniqa.authors_name, maniqa.authors_ignored),
        Release("timm", _backbone_alone(vit.torch_name), partial(vit.ignored, depth=maniqa.DEPTH)),
    )


_RELEASES: dict[str, Callable[[ModelSpec], tuple[Release, ...]]] = {
    "linearity": _linearity,
    "koncept512": _koncept512,
    "tres": _tres,
    "hyperiqa": _hyper_iqa,
    "dbcnn": _dbcnn,
    "maniqa": _maniqa,
}
