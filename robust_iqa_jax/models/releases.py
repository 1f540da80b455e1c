"""The conversion of a file of weights to a model's variables, by the names of the release that it is of.
The names stand in the records of the architectures and in the rows of the backbones."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import flax.traverse_util

from robust_iqa_jax.models.architectures import architecture
from robust_iqa_jax.models.registry import shapes
from robust_iqa_jax.models.spec import ModelSpec
from robust_iqa_jax.weights.conversion import Release, Report, Tensors, from_torch
from robust_iqa_jax.weights.entries import is_averaged


def releases(spec: ModelSpec) -> tuple[Release, ...]:
    """The namings that a model's checkpoint may have; Flax's own (and ours) comes last."""
    return (*architecture(spec).releases(spec), Release("flax", "/".join, axes={}))


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
