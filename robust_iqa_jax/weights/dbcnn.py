"""Names of the variables of models.dbcnn and backbones.scnn, and other files' names brought to them.
Sources: zwx8981/DBCNN-PyTorch; chaofengc/IQA-PyTorch, dbcnn_arch.py (the same names); A-DB, model.py (blocks)."""

import re
from collections.abc import Mapping

import numpy as np

from robust_iqa_jax.backbones import scnn
from robust_iqa_jax.weights import robust_block, vgg
from robust_iqa_jax.weights.conversion import LEAVES, Path
from robust_iqa_jax.weights.state_dict import with_masks_applied, without_prefixes
from robust_iqa_jax.weights.torch_pickle import CheckpointError

PREFIXES = ("module.", "model.")
"""What DataParallel and A-DB, whose model is preceded by a normalisation, put before every name."""

_SCNN_PARTS = {
    "projection1": "projection.0",
    "projection_bn1": "projection.1",
    "projection2": "projection.3",
    "projection_bn2": "projection.4",
    "classifier": "classifier",
}
_BLOCKS = {"block": "cayley", "scnn_block": "cayley2"}
_BLOCK_MODULE = re.compile(r"(features[12])\.(\d+)\.conv_in\.")
_FEATURE = re.compile(r"(features[12])\.(\d+)\.(.*)")


def torch_name(path: Path, scnn_batch_norm: bool = True) -> str:
    """The release's name of a variable of DBCNN: (params, scnn, bn9, scale) -> features2.25.weight.

    Blocks, which the release does not have, are named as A-DB's attributes wherever they sit: cayley.conv_in.weight in
    VGG-16, cayley2.conv_cayley.alpha in SCNN. `to_release` brings A-DB's other names of them to these.
    """
    collection, module, *inner, leaf = path
    if module in _BLOCKS:
        return f"{_BLOCKS[module]}.{robust_block.torch_name((*inner, leaf))}"
    rest = (collection, *inner, leaf)
    if module == "vgg":
        return vgg.torch_name(rest).replace("features.", "features1.", 1)
    if module == "scnn":
        return scnn_name(rest, scnn_batch_norm).replace("features.", "features2.", 1)
    return f"{module}.{LEAVES[leaf]}"


def scnn_name(path: Path, batch_norm: bool = True) -> str:
    """The release's name of a variable of SCNN: (params, conv9, kernel) -> features.24.weight."""
    _, module, leaf = path
    return f"{_SCNN_PARTS.get(module) or f'features.{_scnn_modules(batch_norm).index(module)}'}.{LEAVES[leaf]}"


def is_scnn_classifier(name: str) -> bool:
    """Whether a tensor of a file of SCNN alone belongs to what DBCNN does without."""
    return name.startswith(("projection.", "classifier."))


def is_block(name: str) -> bool:
    """Whether a tensor is a block's own: of a model that has none, A-DB's files may have some that it does not run."""
    return name.startswith(("cayley.", "cayley2.", "cayley4."))


def block_points(tensors: Mapping[str, np.ndarray], scnn_batch_norm: bool = True) -> tuple[str, str]:
    """Where the checkpoint has RobustBlocks in VGG-16 and in SCNN, "" for none: ("conv5_2", "conv8") of A-DB's cayley2.

    Args:
      tensors: name -> array, as read from the file.
      scnn_batch_norm: of the model.

    Raises:
      CheckpointError: a block that is not behind an activation or a pooling.
    """
    indices = _block_indices(without_prefixes(tensors, PREFIXES))
    modules = {"features1": vgg.MODULES, "features2": _scnn_modules(scnn_batch_norm)}
    points = {"features1": "", "features2": ""}
    for branch, index in indices.items():
        before = modules[branch][index - 1] if 0 < index <= len(modules[branch]) else "nothing"
        if not before.endswith("_relu") and not before.startswith("pool"):
            raise CheckpointError(
                f"has a block at {branch}.{index}, behind {before}; it has to follow a ReLU or a pooling"
            )
        points[branch] = before.removesuffix("_relu")
    return points["features1"], points["features2"]


def to_release(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Tensors under the names that `torch_name` (for a file of SCNN alone, `scnn_name`) gives.

    Takes off prefixes, applies pruning masks, leaves out A-DB's normalisation, and undoes its insertion of a block:
    the modules behind it are numbered one higher, and the block's own tensors come twice.
    """
    plain = with_masks_applied(without_prefixes(tensors, PREFIXES))
    indices = _block_indices(plain)
    released = {}
    for name, tensor in plain.items():
        if name.startswith("normalize.") or (indices and is_block(name)):
            continue
        if match := _FEATURE.fullmatch(name):
            branch, index, rest = match[1], int(match[2]), match[3]
            if branch in indices and index == indices[branch]:
                name = f"{_BLOCKS['block' if branch == 'features1' else 'scnn_block']}.{rest}"
            elif branch in indices and index > indices[branch]:
                name = f"{branch}.{index - 1}.{rest}"
        released[name] = tensor
    return released


def _block_indices(tensors: Mapping[str, np.ndarray]) -> dict[str, int]:
    matches = (_BLOCK_MODULE.match(name) for name in tensors)
    return {match[1]: int(match[2]) for match in matches if match}


def _scnn_modules(batch_norm: bool) -> tuple[str, ...]:
    """What SCNN's `features` holds, in order."""
    parts = ("conv{}", "bn{}", "conv{}_relu") if batch_norm else ("conv{}", "conv{}_relu")
    return tuple(part.format(i) for i in range(1, len(scnn.WIDTHS) + 1) for part in parts)
