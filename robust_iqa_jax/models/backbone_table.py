"""Backbones that LinearityIQA can read: how each is built, its maps, its normalisation, its weights and their names.
A new backbone is one row."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import flax.linen as nn

from robust_iqa_jax.backbones import efficientnet_lite, inception_resnet_v2, resnet, vgg, vit
from robust_iqa_jax.checks import unknown
from robust_iqa_jax.models.spec import BlockSpec
from robust_iqa_jax.weights import backbone_names
from robust_iqa_jax.weights import efficientnet_lite as efficientnet_lite_weights
from robust_iqa_jax.weights.conversion import Release

Variables = Mapping[str, Any]


@dataclass(frozen=True)
class BackboneEntry:
    """One backbone.

    Attributes:
      build: bn_axis_name -> module.
      taps: names of its feature maps, in the order of the network.
      block_points: where a RobustBlock can sit, "input" first.
      mean, std: of the normalisation (x - mean) / std of [0,1] pixels.
      pretrained: () -> {"params", "batch_stats"} of ImageNet weights; ValueError where no package carries them.
      map_of: name of a submodule -> the map that it helps to make.
      release: names that published files give to its tensors; None: only ours are read.
      read: maps of it that LinearityIQA's named model reads.
      input_size: (height, width) of that model's input.
      block: RobustBlock of its robust form.
      authors: whether the RobustBlock's authors published checkpoints of it.
    """

    build: Callable[[str | None], nn.Module]
    taps: tuple[str, ...]
    block_points: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    pretrained: Callable[[], Variables]
    map_of: Callable[[str], str]
    release: Release | None = None
    read: tuple[str, ...] = ()
    input_size: tuple[int, int] = (224, 224)
    block: BlockSpec = field(default_factory=BlockSpec)
    authors: bool = False


def backbone(name: str) -> BackboneEntry:
    """The row of a backbone; ValueError for an unknown one."""
    if name not in BACKBONES:
        raise ValueError(unknown("backbone", name, BACKBONES))
    return BACKBONES[name]


def _efficientnet_lite(variant: str) -> BackboneEntry:
    return BackboneEntry(
        build=lambda bn_axis_name: efficientnet_lite.EfficientNetLite(variant, bn_axis_name=bn_axis_name),
        taps=efficientnet_lite.TAPS,
        block_points=("input", *efficientnet_lite.TAPS),
        mean=efficientnet_lite.MEAN,
        std=efficientnet_lite.STD,
        pretrained=partial(efficientnet_lite_weights.load_imagenet, variant, include_classifier=False),
        map_of=lambda module: module.split("_")[0],  # stage3_block1 makes stage3
        release=efficientnet_lite_weights.release(variant),
        read=("stage5", "stage6", "stage7"),
        input_size=(500, 500),
    )


def _resnet(variant: str) -> BackboneEntry:
    return BackboneEntry(
        build=lambda bn_axis_name: resnet.ResNet(variant, bn_axis_name=bn_axis_name),
        taps=resnet.TAPS,
        block_points=resnet.insertion_points(variant),
        mean=resnet.MEAN,
        std=resnet.STD,
        pretrained=partial(_no_package, variant),
        map_of=lambda module: "stem" if module in ("conv1", "bn1") else module.split("_")[0],
        release=backbone_names.TORCHVISION_RESNET,
        read=("layer3", "layer4"),
        input_size=(498, 664),
        block=BlockSpec("layer3", 200, "square", 0),
        authors=variant == "resnet101",
    )


def _inception_resnet_v2() -> BackboneEntry:
    repeated = {block: name for name, block in inception_resnet_v2.REPEATED.items()}  # block17_3 makes repeat_1
    return BackboneEntry(
        build=lambda bn_axis_name: inception_resnet_v2.InceptionResNetV2(bn_axis_name=bn_axis_name),
        taps=inception_resnet_v2.TAPS,
        block_points=inception_resnet_v2.INSERTION_POINTS,
        mean=inception_resnet_v2.MEAN,
        std=inception_resnet_v2.STD,
        pretrained=partial(_no_package, "inception_resnet_v2"),
        map_of=lambda module: repeated.get(module.rsplit("_", 1)[0], module) if "_" in module else module,
        release=backbone_names.CADENE_INCEPTION_RESNET_V2,
        read=("repeat_1", "conv2d_7b"),
        input_size=(384, 512),
        block=BlockSpec("repeat_1", 200, "square", 0),
    )


def _vgg16() -> BackboneEntry:
    return BackboneEntry(
        build=lambda bn_axis_name: vgg.VGG(),
        taps=vgg.TAPS,
        block_points=vgg.INSERTION_POINTS,
        mean=vgg.MEAN,
        std=vgg.STD,
        pretrained=partial(_no_package, "vgg16"),
        map_of=lambda module: module,
        release=backbone_names.TORCHVISION_VGG,
        read=("conv4_3", "conv5_3"),
        input_size=(384, 512),
        block=BlockSpec("conv4_3", 200, "square", 0),
    )


def _vit(variant: str) -> BackboneEntry:
    return BackboneEntry(
        build=lambda bn_axis_name: vit.ViT(variant),
        taps=vit.taps(variant),
        block_points=vit.insertion_points(variant),
        mean=vit.MEAN,
        std=vit.STD,
        pretrained=partial(_no_package, variant),
        map_of=lambda module: module.replace("blocks_", "block") if module.startswith("blocks_") else "embed",
        release=backbone_names.TIMM_VIT,
        read=("block8", "block11"),
        input_size=(224, 224),
        block=BlockSpec("block8", 200, "none", 1),
    )


def _no_package(name: str) -> Variables:
    raise ValueError(
        f"no installable package carries ImageNet weights of {name}: convert a checkpoint with `riqa convert FILE OUT "
        f"--model linearity-{name} --allow-missing` and start from OUT"
    )


BACKBONES: dict[str, BackboneEntry] = {
    **{f"efficientnet_{variant}": _efficientnet_lite(variant) for variant in ("lite0", "lite1", "lite2")},
    **{variant: _resnet(variant) for variant in resnet.VARIANTS},
    "inception_resnet_v2": _inception_resnet_v2(),
    "vgg16": _vgg16(),
    "vit_base_patch8_224": _vit("vit_base_patch8_224"),
}
