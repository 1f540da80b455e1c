"""From a ModelSpec to a Flax module and its ImageNet starting weights: the table of backbones lives here.
A new backbone is one row."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.backbones import efficientnet_lite
from robust_iqa_jax.layers.robust_block import RobustBlock
from robust_iqa_jax.models.linearity_iqa import LinearityIQA
from robust_iqa_jax.models.spec import ModelSpec
from robust_iqa_jax.weights.efficientnet_lite import load_imagenet

Variables = Mapping[str, Any]


@dataclass(frozen=True)
class BackboneEntry:
    """One backbone: how to build it, what maps it names, how its input is normalised, where its weights come from.

    Attributes:
      build: bn_axis_name -> module.
      taps: names of its feature maps.
      mean, std: of the normalisation (x - mean) / std of [0,1] pixels.
      pretrained: () -> {"params", "batch_stats"} of ImageNet weights.
    """

    build: Callable[[str | None], nn.Module]
    taps: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    pretrained: Callable[[], Variables]


def _efficientnet_lite(variant: str) -> BackboneEntry:
    return BackboneEntry(
        build=lambda bn_axis_name: efficientnet_lite.EfficientNetLite(variant, bn_axis_name=bn_axis_name),
        taps=efficientnet_lite.TAPS,
        mean=efficientnet_lite.MEAN,
        std=efficientnet_lite.STD,
        pretrained=partial(load_imagenet, variant, include_classifier=False),
    )


BACKBONES: dict[str, BackboneEntry] = {
    f"efficientnet_{variant}": _efficientnet_lite(variant) for variant in ("lite0", "lite1", "lite2")
}


def build(spec: ModelSpec, bn_axis_name: str | None = None) -> LinearityIQA:
    """The Flax module that a spec describes.

    Args:
      spec: the model.
      bn_axis_name: mapped axis for cross-replica batch statistics, None for one device.

    Raises:
      ValueError: unknown backbone or feature map, in one line with the allowed names.
    """
    entry = _entry(spec)
    for name in spec.taps:
        if name not in entry.taps:
            raise ValueError(f"{spec.backbone}: no feature map {name!r}; choose one of {', '.join(entry.taps)}")
    block = None
    if spec.block is not None:
        if spec.block.at not in ("input", *entry.taps):
            raise ValueError(
                f"{spec.backbone}: no feature map {spec.block.at!r} for the block; "
                f"choose one of input, {', '.join(entry.taps)}"
            )
        fields = spec.block
        block = RobustBlock(fields.mid_channels, fields.pool, fields.padding, fields.norm, fields.alpha_init)
    return LinearityIQA(
        backbone=entry.build(bn_axis_name),
        taps=spec.taps,
        block=block,
        block_at="" if spec.block is None else spec.block.at,
        pool_levels=spec.pool_levels,
        pool_kind=spec.pool_kind,
        bn_axis_name=bn_axis_name,
    )


def normalise(spec: ModelSpec, images: Float[Array, "n h w 3"]) -> Float[Array, "n h w 3"]:
    """[0,1] pixels to the backbone's input range."""
    entry = _entry(spec)
    mean, std = (jnp.asarray(v, images.dtype) for v in (entry.mean, entry.std))
    return (images - mean) / std


def init_pretrained(spec: ModelSpec, key: Array) -> dict[str, Any]:
    """Variables to start training from: ImageNet backbone, freshly drawn head and block.

    Args:
      spec: the model.
      key: PRNG key of the fresh parts.

    Returns:
      {"params": {"backbone", "head"[, "block"]}, "batch_stats": ...}, float32.
    """
    pretrained = _entry(spec).pretrained()

    @jax.jit
    def fresh(key: Array) -> dict[str, Any]:
        # what is not returned is not compiled either: drawing a backbone takes XLA longer than training it a little
        return {
            name: {part: v for part, v in drawn.items() if part != "backbone"}
            for name, drawn in init(spec, key).items()
        }

    return {
        name: {**parts, "backbone": jax.tree.map(jnp.asarray, pretrained[name])} for name, parts in fresh(key).items()
    }


def init(spec: ModelSpec, key: Array) -> dict[str, Any]:
    """Freshly drawn variables of the whole model; jit it."""
    images = jnp.zeros((1, *spec.input_size, 3))
    drawn = build(spec).init(key, images, train=False)
    return {name: dict(drawn[name]) for name in ("params", "batch_stats")}


def _entry(spec: ModelSpec) -> BackboneEntry:
    if spec.backbone not in BACKBONES:
        raise ValueError(f"unknown backbone {spec.backbone!r}; choose one of {', '.join(BACKBONES)}")
    return BACKBONES[spec.backbone]
