"""Differences between files of the same weights that no architecture is the cause of: prefixes and pruning masks.
Sources: torch.nn.DataParallel ("module."), torch.compile ("_orig_mod."), FSDP, torch.nn.utils.prune (name_orig,
name_mask)."""

import re
from collections.abc import Mapping

import numpy as np

_WRAPPERS = re.compile(r"(?<![^.])(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""What torch.compile and FSDP put before the names of what they wrap, wherever in the model that is."""


def without_prefixes(tensors: Mapping[str, np.ndarray], prefixes: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Each name without what torch.compile and FSDP add, and without the prefixes that it begins with, in any order and
    as often as they come.

    Raises:
      ValueError: two different tensors would get one name.
    """
    names: dict[str, np.ndarray] = {}
    for original, tensor in tensors.items():
        name = _WRAPPERS.sub("", original)
        while prefix := next((p for p in prefixes if name.startswith(p)), ""):
            name = name.removeprefix(prefix)
        if name in names and not np.array_equal(names[name], tensor):
            raise ValueError(f"holds {name} twice, as {original} too, with other values; remove one of them")
        names[name] = tensor
    return names


def with_masks_applied(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The product of every pair NAME_orig, NAME_mask under NAME; all else as it is.

    Raises:
      ValueError: a mask that does not fit.
    """
    applied = {}
    for name, tensor in tensors.items():
        stem = name.removesuffix("_orig").removesuffix("_mask")
        if stem == name or f"{stem}_orig" not in tensors or f"{stem}_mask" not in tensors:
            applied[name] = tensor
        else:
            original, mask = tensors[f"{stem}_orig"], tensors[f"{stem}_mask"]
            if mask.ndim > original.ndim or np.broadcast_shapes(original.shape, mask.shape) != original.shape:
                raise ValueError(f"{stem}_mask is {mask.shape}, which does not mask {stem}_orig, {original.shape}")
            applied[stem] = original * mask.astype(original.dtype)
    return applied
