"""timm's names of the variables of backbones.vit.
Source: timm/models/vision_transformer.py (patch_embed.proj.weight, blocks.0.attn.qkv.weight, pos_embed)."""

import re

from robust_iqa_jax.weights.conversion import LEAVES, Path


def torch_name(path: Path) -> str:
    """timm's name of a variable: (params, blocks_0, attn, qkv, kernel) -> blocks.0.attn.qkv.weight."""
    _, *modules, leaf = path
    parts = [
        "patch_embed.proj" if module == "patch_embed_proj" else re.sub(r"_(\d+)$", r".\1", module) for module in modules
    ]
    return ".".join([*parts, LEAVES.get(leaf, leaf)])


def ignored(name: str, depth: int | None = None) -> bool:
    """Whether a tensor lies behind the last block, as the classifier and its norm, or behind the first `depth`."""
    block = re.match(r"blocks\.(\d+)\.", name)
    return name.startswith(("norm.", "head.")) or (block is not None and depth is not None and int(block[1]) >= depth)
