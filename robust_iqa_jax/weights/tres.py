"""Names of TReS's checkpoints: the public release's, IQA-PyTorch's and those with the RobustBlock.
Sources: isalirezag/TReS models.py and transformers.py; chaofengc/IQA-PyTorch tres_arch.py;
abhhfcgjk/VG_Architectural_Adversarial_Robustness, branch TReS (resnet_modify.py)."""

from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

import jax
import numpy as np

from robust_iqa_jax.weights import resnet, robust_block
from robust_iqa_jax.weights.conversion import LEAVES, Path, from_torch, require_fit
from robust_iqa_jax.weights.torch_names import with_masks_applied, without_prefix
from robust_iqa_jax.weights.torch_pickle import CheckpointError, read_torch_state_dict


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


def convert(tensors: Mapping[str, np.ndarray], shapes: Mapping[str, Any]) -> dict[str, Any]:
    """Variables of a TReS from a checkpoint's tensors, also of one wrapped for several devices ("module.") or pruned.

    Args:
      tensors: PyTorch name -> array.
      shapes: the model's variables with `.shape` leaves, as jax.eval_shape of its init gives them.

    Returns:
      {"params": ..., "batch_stats": ...} with numpy leaves of the tensors' types.

    Raises:
      CheckpointError: names what is missing, unused, of another shape, or not finite.
    """
    tensors = with_masks_applied(without_prefix(tensors, "module."))
    variables, report = from_torch(tensors, shapes, torch_name, is_ignored)
    require_fit(report, "TReS")
    return variables


def load(path: str | FilePath, shapes: Mapping[str, Any]) -> dict[str, Any]:
    """Read a checkpoint of TReS without executing it: a bare mapping of tensors, or one that holds it as "model".

    Args:
      path: file.
      shapes: see `convert`.

    Returns:
      variables with float32 numpy leaves.

    Raises:
      CheckpointError: a file that cannot be read or does not fit, in one line that names it.
      OSError: the file cannot be opened.
    """
    tensors = read_torch_state_dict(path)
    try:
        return jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), convert(tensors, shapes))
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
