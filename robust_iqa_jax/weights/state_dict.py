"""Differences between files of the same weights that no architecture is the cause of: prefixes and pruning masks.
Sources: torch.nn.DataParallel ("module."), torch.nn.utils.prune (name_orig, name_mask)."""

from collections.abc import Mapping

import numpy as np


def without_prefixes(tensors: Mapping[str, np.ndarray], prefixes: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Each name without the prefixes that it begins with, taken off in any order and as often as they come."""
    names = {}
    for name, tensor in tensors.items():
        while prefix := next((p for p in prefixes if name.startswith(p)), ""):
            name = name.removeprefix(prefix)
        names[name] = tensor
    return names


def with_masks_applied(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The product of every pair NAME_orig, NAME_mask under NAME; all else as it is."""
    applied = {}
    for name, tensor in tensors.items():
        stem = name.removesuffix("_orig").removesuffix("_mask")
        if stem == name or f"{stem}_orig" not in tensors or f"{stem}_mask" not in tensors:
            applied[name] = tensor
        else:
            original = tensors[f"{stem}_orig"]
            applied[stem] = original * tensors[f"{stem}_mask"].astype(original.dtype)
    return applied
