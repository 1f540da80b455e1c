"""Names of a model's tensors as training wrapped or pruned them, back to the plain model's.
Sources: torch.nn.DataParallel ("module."), torch.nn.utils.prune ("_orig", "_mask")."""

from collections.abc import Mapping

import numpy as np

_ORIGINAL, _MASK = "_orig", "_mask"


def without_prefix(tensors: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The tensors with `prefix` taken off each name, where all names have it; unchanged where one has not."""
    if not all(name.startswith(prefix) for name in tensors):
        return dict(tensors)
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}


def with_masks_applied(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Pruned parameters as the pruned model uses them: weight = weight_orig * weight_mask, under the plain name.

    A checkpoint that was saved while pruning was active stores these two in place of the weight (the reference's
    pruned models do until their last evaluation). The masks themselves are not kept.

    Args:
      tensors: PyTorch name -> array.

    Returns:
      the same mapping, each pair replaced by its product, in place of the original; all else as it was.
    """
    plain = {}
    for name, tensor in tensors.items():
        stem = name.removesuffix(_ORIGINAL)
        if name.endswith(_ORIGINAL) and stem + _MASK in tensors:
            plain[stem] = tensor * tensors[stem + _MASK].astype(tensor.dtype)
        elif not (name.endswith(_MASK) and name.removesuffix(_MASK) + _ORIGINAL in tensors):
            plain[name] = tensor
    return plain
