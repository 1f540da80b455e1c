"""Models by name: the published ones, and each with the RobustBlock where the paper puts it.
Sources: input sizes, crops and block positions of sources.md 1.5 and 2 (arXiv 2506.04951 and the models' papers)."""

import dataclasses
from typing import cast

from robust_iqa_jax.checks import unknown
from robust_iqa_jax.models import dbcnn, koncept512, maniqa
from robust_iqa_jax.models.spec import Backbone, BlockSpec, CropSpec, ModelSpec

POSITIONS = {
    "1": BlockSpec("input", 3, "square", 0),
    "2": BlockSpec("stem", 64, "square", 0),
    "3": BlockSpec("layer1", 256, "square", 0),
    "4": BlockSpec("layer2_2", 128, "square", 0),
    "5": BlockSpec("layer2", 200, "square", 0),
    "6": BlockSpec("layer3", 200, "square", 0),
    "pair": BlockSpec("taps", 200, "square", 0),
}
"""Positions of arXiv 2506.04951 in LinearityIQA over a bottleneck ResNet; 3, 5 and pair are in its code only."""


def _linearity(backbone: str, taps: tuple[str, ...], size: tuple[int, int]) -> ModelSpec:
    return ModelSpec(backbone=cast(Backbone, backbone), taps=taps, input_size=size)


_LITE = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
_RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "wide_resnet50_2", "resnext101_32x8d")
_KONCEPT = ModelSpec("koncept512", "inception_resnet_v2", (), koncept512.INPUT_SIZE)
_KONCEPT_BLOCK = BlockSpec(koncept512.BLOCK_AT, koncept512.BLOCK_MID_CHANNELS, "square", 0)

_MODELS: dict[str, tuple[ModelSpec, BlockSpec]] = {
    **{
        f"linearity-{name}": (_linearity(name, ("stage5", "stage6", "stage7"), (500, 500)), BlockSpec())
        for name in _LITE
    },
    **{f"linearity-{name}": (_linearity(name, ("layer3", "layer4"), (498, 664)), POSITIONS["6"]) for name in _RESNETS},
    "linearity-inception_resnet_v2": (
        _linearity("inception_resnet_v2", ("repeat_1", "conv2d_7b"), (384, 512)),
        BlockSpec("repeat_1", 200, "square", 0),
    ),
    "linearity-vgg16": (
        _linearity("vgg16", ("conv4_3", "conv5_3"), (384, 512)),
        BlockSpec("conv4_3", 200, "square", 0),
    ),
    "linearity-vit_base_patch8_224": (
        _linearity("vit_base_patch8_224", ("block8", "block11"), (224, 224)),
        BlockSpec("block8", 200, "none", 1),
    ),
    "koncept512": (_KONCEPT, _KONCEPT_BLOCK),
    "koncept512-pytorch": (dataclasses.replace(_KONCEPT, pool_window=8), _KONCEPT_BLOCK),
    "tres": (
        ModelSpec("tres", "resnet50", (), (384, 512), CropSpec(224, 5, 10)),
        BlockSpec("layer3", 512, "none", 1),
    ),
    "hyperiqa": (
        ModelSpec("hyperiqa", "resnet50", (), (384, 512), CropSpec(224, 5, 5)),
        BlockSpec("layer3", 200, "none", 1),
    ),
    "dbcnn": (ModelSpec("dbcnn", "vgg16", (), dbcnn.INPUT_SIZE), BlockSpec("conv5_3", 200, "square", 0)),
    "maniqa": (
        ModelSpec(
            "maniqa", "vit_base_patch8_224", (), (384, 512), CropSpec(224, 4, 5), swin_scale=maniqa.SCALES["koniq10k"]
        ),
        BlockSpec("concat", 384, "none", 1),
    ),
    "maniqa-pipal": (
        ModelSpec(
            "maniqa", "vit_base_patch8_224", (), (224, 224), CropSpec(224, 1, 1), swin_scale=maniqa.SCALES["pipal22"]
        ),
        BlockSpec("concat", 384, "none", 1),
    ),
}

_AUTHORS = ("linearity-resnet101", "koncept512", "tres")

PRESETS: dict[str, ModelSpec] = {
    **{name: spec for name, (spec, _) in _MODELS.items()},
    **{
        f"{name}-robust": dataclasses.replace(spec, block=block, pool_window=None)
        for name, (spec, block) in _MODELS.items()
    },
    **{
        f"{name}-authors": dataclasses.replace(
            spec, block=dataclasses.replace(block, norm="spectrum", alpha_init=1.0, compat="authors")
        )
        for name, (spec, block) in _MODELS.items()
        if name in _AUTHORS
    },
}
"""Name -> model. "-robust" adds the RobustBlock where the paper has it, in models that it does not treat where we put
it; "-authors" adds it with the conventions that the paper's checkpoints were trained with.

koncept512-pytorch-robust is koncept512-robust: the block leaves 7 x 7 pixels of the last map, fewer than the window of
koniq-PyTorch, 8. The paper's code, whose tensors have koniq-PyTorch's names, averages all of them; a checkpoint of it
fits both names, and has to be scored as it was trained."""


def preset(name: str) -> ModelSpec:
    """The model of this name; ValueError for an unknown one."""
    if name not in PRESETS:
        raise ValueError(unknown("model", name, PRESETS))
    return PRESETS[name]
