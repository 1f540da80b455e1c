"""Names of KonCept512's tensors in koniq-PyTorch's release and in the checkpoints of arXiv 2506.04951's code.
Sources: ZhengyuZhao/koniq-PyTorch; branch KonCept_dali of abhhfcgjk/VG_Architectural_Adversarial_Robustness."""

import re
from collections.abc import Mapping

import numpy as np

from robust_iqa_jax.backbones.inception_resnet_v2 import MEAN, STD, TAPS
from robust_iqa_jax.weights import inception_resnet_v2, robust_block
from robust_iqa_jax.weights.conversion import LEAVES, Path
from robust_iqa_jax.weights.state_dict import with_masks_applied, without_prefixes
from robust_iqa_jax.weights.torch_pickle import CheckpointError

BLOCK = "cayley2"
"""What the RobustBlock is called in the canonical names."""


def torch_name(path: Path) -> str:
    """The canonical name of a variable of models.koncept512.KonCept512, which is koniq-PyTorch's.

    base.N for step N of the backbone, fc.4i for dense layer i, fc.4i+2 for its norm; the RobustBlock, which that
    release has not, is cayley2.conv_in and cayley2.conv_cayley, as in KonCept_dali.
    """
    collection, part, *modules, leaf = path
    if part == "backbone":
        step, _, rest = inception_resnet_v2.torch_name((collection, *modules, leaf)).partition(".")
        return f"base.{TAPS.index(step)}.{rest}"
    (module,) = modules
    if part == "block":
        return f"{BLOCK}.{robust_block.torch_name((module, leaf))}"
    kind, index = module[:-1], int(module[-1])
    return f"fc.{4 * index + (2 if kind == 'bn' else 0)}.{LEAVES[leaf]}"


def block_at(tensors: Mapping[str, np.ndarray]) -> str | None:
    """Name of the map behind which a checkpoint has its RobustBlock ("block8" in the published form), None for none.

    Args:
      tensors: PyTorch name -> array, as in the file.

    Raises:
      CheckpointError: more than one block, or one where there is no map.
    """
    index = _block_index(_unwrapped(tensors))
    return None if index is None else TAPS[index - 1]


def canonical(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Tensors of any of the known forms of a checkpoint under the names that `torch_name` gives.

    What differs in a checkpoint of KonCept_dali:
      - prefixes: "model." of the wrapper that normalises, "module." of distributed training;
      - normalize.mean and normalize.std, which must be MEAN and STD;
      - the RobustBlock is a step of base, so that those behind it count one more, and once more an attribute (cayley1,
        cayley2);
      - pruned tensors that still lie apart, as weight_orig and weight_mask.

    Args:
      tensors: PyTorch name -> array, as in the file.

    Raises:
      CheckpointError: another normalisation, more than one block, or one where there is no map.
    """
    plain = _unwrapped(tensors)
    for name, expected in (("normalize.mean", MEAN), ("normalize.std", STD)):
        found = plain.pop(name, None)
        if found is not None and not np.allclose(np.ravel(found), expected):
            raise CheckpointError(f"{name} is {np.ravel(found).tolist()}, KonCept512 has {list(expected)}")
    index = _block_index(plain)
    if index is None:
        return plain
    renamed = {}
    for name, tensor in plain.items():
        if name.startswith(("cayley1.", "cayley2.")):  # the same tensors again
            continue
        if match := re.fullmatch(r"base\.(\d+)\.(.*)", name):
            step, rest = int(match[1]), match[2]
            name = f"{BLOCK}.{rest}" if step == index else f"base.{step - (step > index)}.{rest}"
        renamed[name] = tensor
    return renamed


def _unwrapped(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return with_masks_applied(without_prefixes(tensors, ("module.", "model.")))


def _block_index(plain: Mapping[str, np.ndarray]) -> int | None:
    found = [int(match[1]) for name in plain if (match := re.fullmatch(r"base\.(\d+)\.conv_in\.weight", name))]
    if not found:
        return None
    if len(found) > 1 or not 1 <= found[0] <= len(TAPS):
        raise CheckpointError(f"expected one RobustBlock behind a step of base, found it at {sorted(found)}")
    return found[0]
