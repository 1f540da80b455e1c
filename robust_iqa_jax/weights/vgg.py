"""torchvision's names of the variables of backbones.vgg.
Source: torchvision/models/vgg.py (features.28.weight, classifier.6.bias), where activations and poolings count too."""

from robust_iqa_jax.backbones.vgg import TAPS
from robust_iqa_jax.weights.conversion import LEAVES, Path

MODULES = tuple(name for tap in TAPS for name in ((tap, f"{tap}_relu") if tap.startswith("conv") else (tap,)))
"""What torchvision's `features` holds, in order: conv1_1, conv1_1_relu, ..., pool5."""

_CLASSIFIER = {"fc6": 0, "fc7": 3, "fc8": 6}


def torch_name(path: Path) -> str:
    """torchvision's name of a variable: (params, conv5_3, kernel) -> features.28.weight."""
    _, module, leaf = path
    where = f"classifier.{_CLASSIFIER[module]}" if module in _CLASSIFIER else f"features.{MODULES.index(module)}"
    return f"{where}.{LEAVES[leaf]}"


def is_classifier(name: str) -> bool:
    """Whether a tensor belongs to the classifier, which quality models do without."""
    return name.startswith("classifier.")
