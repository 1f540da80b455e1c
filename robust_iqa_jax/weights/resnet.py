"""torchvision's names of the variables of backbones.resnet.
Source: torchvision/models/resnet.py (layer1.0.conv1.weight, layer1.0.downsample.1.bias, fc.weight)."""

from robust_iqa_jax.weights.conversion import LEAVES, Path


def torch_name(path: Path) -> str:
    """torchvision's name of a variable: (params, layer1_0, downsample_bn, scale) -> layer1.0.downsample.1.weight."""
    _, *modules, leaf = path
    parts = [
        {"downsample_conv": "downsample.0", "downsample_bn": "downsample.1"}.get(module, module.replace("_", "."))
        for module in modules
    ]
    return ".".join([*parts, LEAVES[leaf]])


def is_classifier(name: str) -> bool:
    """Whether a tensor belongs to the classifier, which quality models do without."""
    return name.startswith("fc.")
