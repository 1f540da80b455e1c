"""The public release's names of the variables of models.maniqa, which IQA-PyTorch shares, and those of A-MAN.
Sources: IIGROUP/MANIQA models/maniqa.py, swin.py; chaofengc/IQA-PyTorch maniqa_arch.py; A-MAN model.py."""

import re

from robust_iqa_jax.weights import vit
from robust_iqa_jax.weights.conversion import Path

DEPTH = 10
"""Blocks of the ViT that the published models read from; the release stores two more."""

_IGNORED = (
    r"swintransformer\d\.downsample\.",  # made by the release's constructor, never applied
    r"swintransformer\d\.layers\.\d+\.blocks\.\d+\.attn_mask$",  # this and the next follow from the sizes
    r"swintransformer\d\.layers\.\d+\.blocks\.\d+\.attn\.relative_position_index$",
)
_AUTHORS = "model."


def torch_name(path: Path) -> str:
    """Name of a variable: (params, tablock1_0, c_q, kernel) -> tablock1.0.c_q.weight; backbone -> vit."""
    collection, module, *rest = path
    return vit.torch_name((collection, "vit" if module == "backbone" else module, *rest))


def ignored(name: str) -> bool:
    """Whether a tensor is one that the release stores and its scores do not depend on, or that follows from sizes."""
    behind = name.startswith("vit.") and vit.ignored(name.removeprefix("vit."), DEPTH)
    return behind or any(re.match(pattern, name) for pattern in _IGNORED)


def authors_name(path: Path) -> str:
    """Name of a variable in a checkpoint of A-MAN, which saves the model behind its normalisation: model.vit..."""
    return _AUTHORS + torch_name(path)


def authors_ignored(name: str) -> bool:
    """As `ignored`, for A-MAN: also the normalisation's constants, which are MEAN and STD of models.maniqa."""
    return name.startswith("normalize.") or (name.startswith(_AUTHORS) and ignored(name.removeprefix(_AUTHORS)))
