"""Models by name: the published ones, and each with the RobustBlock where the paper puts it.
Sources: input sizes and block positions of REFERENCE 1.5 and 2 (arXiv 2506.04951 and the seeds' papers)."""

import dataclasses

from robust_iqa_jax.models.spec import BlockSpec, ModelSpec

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


def _linearity(backbone: str) -> ModelSpec:
    return ModelSpec(backbone=backbone, taps=("layer3", "layer4"), input_size=(498, 664))  # pyright: ignore[reportArgumentType]


_PLAIN: dict[str, ModelSpec] = {
    **{
        f"linearity-efficientnet_{variant}": ModelSpec(backbone=f"efficientnet_{variant}", input_size=(500, 500))  # pyright: ignore[reportArgumentType]
        for variant in ("lite0", "lite1", "lite2")
    },
    **{
        f"linearity-{name}": _linearity(name)
        for name in ("resnet18", "resnet34", "resnet50", "resnet101", "wide_resnet50_2", "resnext101_32x8d")
    },
}

_BLOCKS: dict[str, BlockSpec] = {
    name: POSITIONS["6"] if spec.taps[0] == "layer3" else BlockSpec() for name, spec in _PLAIN.items()
}

PRESETS: dict[str, ModelSpec] = {
    **_PLAIN,
    **{f"{name}-robust": dataclasses.replace(spec, block=_BLOCKS[name]) for name, spec in _PLAIN.items()},
}
"""Name -> model; "-robust" adds the RobustBlock at its published position (ours for EfficientNet-Lite)."""


def preset(name: str) -> ModelSpec:
    """The model of this name; ValueError for an unknown one."""
    if name not in PRESETS:
        raise ValueError(f"unknown model {name!r}; `riqa models` lists them")
    return PRESETS[name]
