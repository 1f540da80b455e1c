"""Removes filters that pruning left at zero, so that inference gets smaller and faster and the scores stay the same.
Ours; it takes apart the blocks of arXiv 1512.03385 (ResNet) and arXiv 1801.04381 (inverted residuals)."""

import dataclasses
from collections.abc import Callable
from itertools import combinations, pairwise, product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jaxtyping import Bool, Float

from robust_iqa_jax.models.architectures import architecture
from robust_iqa_jax.models.registry import COLLECTIONS
from robust_iqa_jax.models.scorer import Scorer

Block = dict[str, np.ndarray]
"""Parameters and statistics of a residual block by '/'-joined path: conv1/kernel, bn1/scale, bn1/mean, ..."""

Channels = Float[np.ndarray, " c"]


def compact(scorer: Scorer) -> Scorer:
    """The same function of the image with fewer channels inside residual blocks; itself where none can go.

    A filter at zero is not a channel at zero: behind its batch normalisation and activation lies a constant. The batch
    normalisation behind a 1x1 convolution takes it up exactly. A padded convolution sees the constant end at the border
    of the map, so there one channel stays and carries the constants of all. A depthwise convolution keeps channels
    apart: there a channel goes only where the activation behind makes border and interior alike. What shortcuts or
    other parts of the model read stays, and so do blocks with grouped convolutions.

    Args:
      scorer: with filters at zero, as `riqa train --prune` and `riqa prune` leave them.

    Returns:
      a scorer with the channels that are left in its spec's `inner_widths`; outputs are equal up to rounding.

    Raises:
      ValueError: not LinearityIQA over a ResNet or EfficientNet-Lite.
    """
    spec = scorer.spec
    before = {name: scorer.variables[name].get("backbone", {}) for name in COLLECTIONS}
    blocks = {name: shrink for name, parts in before["params"].items() if (shrink := _shrinker(parts)) is not None}
    if not architecture(spec).reads_maps or not blocks:
        raise ValueError(
            f"compact: {spec.architecture} over {spec.backbone} has no blocks that can be taken apart; "
            "LinearityIQA over a ResNet or EfficientNet-Lite has"
        )
    after: dict[str, dict[str, Any]] = {name: dict(before[name]) for name in COLLECTIONS}
    widths: dict[str, int] = {}
    for name, shrink in sorted(blocks.items()):
        leaves: dict[str, dict[str, Any]] = {
            c: traverse_util.flatten_dict(before[c][name], sep="/") for c in COLLECTIONS
        }
        block = {path: np.asarray(leaf) for own in leaves.values() for path, leaf in own.items()}
        widths |= {f"{name}/{conv}": count for conv, count in shrink(block).items()}
        for c, own in leaves.items():
            new = {path: jnp.asarray(block[path], leaf.dtype) for path, leaf in own.items()}
            after[c][name] = traverse_util.unflatten_dict(new, sep="/")
    if parameter_count(after) == parameter_count(before):
        return scorer
    variables = {name: {**scorer.variables[name], "backbone": after[name]} for name in COLLECTIONS}
    return dataclasses.replace(
        scorer,
        variables={**scorer.variables, **variables},
        spec=dataclasses.replace(spec, inner_widths=tuple(widths.items())),
    )


def parameter_count(variables: dict[str, Any]) -> int:
    """Number of trained parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def _shrinker(parts: dict[str, Any]) -> Callable[[Block], dict[str, int]] | None:
    """What shrinks a block with these submodules in place and gives the channels of its inner convolutions."""
    if {"expand", "depthwise", "project"} <= parts.keys():
        return _shrink_inverted_residual
    return _shrink_resnet_block if {"conv1", "bn1", "conv2", "bn2"} <= parts.keys() else None


def _shrink_resnet_block(block: Block) -> dict[str, int]:
    layers = [(f"conv{i}", f"bn{i}") for i in (1, 2, 3) if f"conv{i}/kernel" in block]
    if any(block[f"{a}/kernel"].shape[3] != block[f"{b}/kernel"].shape[2] for (a, _), (b, _) in pairwise(layers)):
        return {}  # grouped
    for (conv, norm), (reader, reader_norm) in pairwise(layers):
        dead, kernel = _is_zero(block[f"{conv}/kernel"]), block[f"{reader}/kernel"]
        _, shift = _affine(block, norm, epsilon=1e-5)
        constant = np.where(dead, np.maximum(shift, 0), 0)
        if kernel.shape[0] == 1:
            mask = _never_nothing(~dead)
            _absorb(block, reader_norm, np.where(mask, 0, constant) @ kernel[0, 0])
        else:
            carrier = int(np.argmax(constant))
            mask = _never_nothing(~dead | ((np.arange(dead.size) == carrier) & (constant > 0)))
            if constant[carrier] > 0:
                kernel = kernel.copy()
                kernel[:, :, carrier] = np.tensordot(kernel, constant / constant[carrier], (2, 0))
        _select(block, conv, norm, mask)
        block[f"{reader}/kernel"] = kernel[:, :, mask]
    return {conv: block[f"{conv}/kernel"].shape[3] for conv, _ in layers[:-1]}


def _shrink_inverted_residual(block: Block) -> dict[str, int]:
    expand, depthwise = _is_zero(block["expand/conv/kernel"]), _is_zero(block["depthwise/conv/kernel"])
    _, entering = _affine(block, "expand/bn", epsilon=1e-3)
    response = _depthwise_responses(block, np.where(expand, _relu6(entering), 0))
    alike = response.min(0) == response.max(0)
    mask = _never_nothing(~((expand | depthwise) & alike))
    project = block["project/conv/kernel"]
    _absorb(block, "project/bn", np.where(mask, 0, response[0]) @ project)
    for part in ("expand", "depthwise"):
        _select(block, f"{part}/conv", f"{part}/bn", mask)
    block["project/conv/kernel"] = project[mask]
    return {"expand": int(mask.sum())}


def _depthwise_responses(block: Block, constant: Channels) -> Float[np.ndarray, "windows c"]:
    """What a constant map gives behind depthwise convolution, normalisation and ReLU6, at every pixel that there can
    be: the padding cuts the kernel down to a window of some of its rows and columns."""
    kernel = block["depthwise/conv/kernel"].astype(np.float64)
    spans = [slice(*ends) for ends in combinations(range(len(kernel) + 1), 2)]
    sums = np.stack([kernel[rows, columns].sum((0, 1)) for rows, columns in product(spans, spans)])
    scale, shift = _affine(block, "depthwise/bn", epsilon=1e-3)
    return _relu6(constant * sums * scale + shift)


def _affine(block: Block, norm: str, epsilon: float) -> tuple[Channels, Channels]:
    """Scale and shift of a batch normalisation in evaluation mode; the shift is what a zero becomes."""
    scale, bias, mean, var = (block[f"{norm}/{leaf}"].astype(np.float64) for leaf in ("scale", "bias", "mean", "var"))
    factor = scale / np.sqrt(var + epsilon)
    return factor, bias - mean * factor


def _absorb(block: Block, norm: str, constant: Channels) -> None:
    """Take a constant that no longer reaches a batch normalisation off its mean."""
    block[f"{norm}/mean"] = block[f"{norm}/mean"] - constant


def _select(block: Block, conv: str, norm: str, mask: Bool[np.ndarray, " c"]) -> None:
    for path in (f"{conv}/kernel", *(f"{norm}/{leaf}" for leaf in ("scale", "bias", "mean", "var"))):
        block[path] = block[path][..., mask]


def _is_zero(kernel: np.ndarray) -> Bool[np.ndarray, " c"]:
    return np.all(kernel == 0, axis=tuple(range(kernel.ndim - 1)))


def _never_nothing(mask: Bool[np.ndarray, " c"]) -> Bool[np.ndarray, " c"]:
    """A convolution keeps its first channel where all could go."""
    return mask if mask.any() else np.arange(mask.size) == 0


def _relu6(x: np.ndarray) -> np.ndarray:
    return np.clip(x, 0, 6)
