"""Names of TReS's checkpoints: the public release's, IQA-PyTorch's and those with the RobustBlock.
Sources: isalirezag/TReS models.py and transformers.py; chaofengc/IQA-PyTorch tres_arch.py;
abhhfcgjk/VG_Architectural_Adversarial_Robustness, branch TReS (resnet_modify.py)."""

from robust_iqa_jax.weights import resnet, robust_block
from robust_iqa_jax.weights.conversion import LEAVES, Path


def torch_name(path: Path) -> str:
    """The release's name of a variable of TReS.

    (params, backbone, layer3_0, conv1, kernel) -> model.layer3.0.conv1.weight;
    (params, transformer, layer0, self_attn, in_proj, kernel) -> transformer.encoder.layers.0.self_attn.in_proj_weight;
    (params, block, cayley, alpha) -> model.cayley.conv_cayley.alpha, wherever the block sits.
    """
    collection, part, *modules, leaf = path
    if part == "backbone":
        return "model." + resnet.torch_name((collection, *modules, leaf))
    if part == "block":
        return "model.cayley." + robust_block.torch_name((*modules, leaf))
    if part == "transformer":
        layer, *inner = modules
        names = ["transformer", "encoder", layer, *inner]
        if layer.startswith("layer"):
            names[2:3] = ["layers", layer.removeprefix("layer")]
        joint = "_" if names[-1] == "in_proj" else "."  # the one tensor that torch keeps outside a layer
        return ".".join(names) + joint + LEAVES[leaf]
    return f"{part}.{LEAVES[leaf]}"


def is_ignored(name: str) -> bool:
    """Whether a tensor is the backbone's classifier, which no score depends on, or a window of the L2 pooling."""
    return name.startswith("model.fc.") or (name.startswith("L2pooling_l") and name.endswith(".filter"))
