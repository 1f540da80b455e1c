"""Cadene's names of the variables of backbones.inception_resnet_v2.
Source: Cadene/pretrained-models.pytorch, models/inceptionresnetv2.py (inceptionresnetv2-520b38e4.pth, 1001 classes)."""

from robust_iqa_jax.backbones.inception_resnet_v2 import REPEATED
from robust_iqa_jax.weights.conversion import LEAVES, Path

_STEPS = {block: step for step, block in REPEATED.items()}


def torch_name(path: Path) -> str:
    """Cadene's name: (params, block17_3, branch1_2, bn, scale) -> repeat_1.3.branch1.2.bn.weight."""
    _, module, *inner, leaf = path
    block, _, index = module.rpartition("_")
    if block in _STEPS:
        module = f"{_STEPS[block]}.{index}"
    return ".".join([module, *(part.replace("_", ".") for part in inner), LEAVES[leaf]])


def is_classifier(name: str) -> bool:
    """Whether a tensor belongs to the classifier, which quality models do without."""
    return name.startswith("last_linear.")
