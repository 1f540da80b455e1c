"""Names of the variables of models.hyper_iqa, and other files' names brought to them.
Sources: SSL92/hyperIQA, models.py (YangiD/DefenseIQA-NT has the same); chaofengc/IQA-PyTorch, hypernet_arch.py."""

import re
from collections.abc import Callable, Mapping

import numpy as np

from robust_iqa_jax.weights import resnet, robust_block
from robust_iqa_jax.weights.conversion import LEAVES, Path
from robust_iqa_jax.weights.state_dict import with_masks_applied, without_prefixes

PREFIXES = ("module.", "model_hyper.")
"""What DataParallel and DefenseIQA-NT's wrapper put before every name."""


_PYIQA: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (r"base_model\.(.*)", lambda m: f"res.{m[1]}"),
    (r"lda_modules\.([012])\.0\.(\w+)", lambda m: f"res.lda{int(m[1]) + 1}_pool.0.{m[2]}"),
    (r"lda_modules\.([012])\.3\.(\w+)", lambda m: f"res.lda{int(m[1]) + 1}_fc.{m[2]}"),
    (r"lda_modules\.3\.2\.(\w+)", lambda m: f"res.lda4_fc.{m[1]}"),
    (r"fc_w_modules\.([0123])\.(\w+)", lambda m: f"fc{int(m[1]) + 1}w_conv.{m[2]}"),
    (r"fc_w_modules\.4\.2\.(\w+)", lambda m: f"fc5w_fc.{m[1]}"),
    (r"fc_b_modules\.([01234])\.2\.(\w+)", lambda m: f"fc{int(m[1]) + 1}b_fc.{m[2]}"),
)
"""IQA-PyTorch's names -> the release's."""


def torch_name(path: Path) -> str:
    """The release's name of a variable: (params, distortion, lda1_conv, kernel) -> res.lda1_pool.0.weight.

    A block, which the release does not have, is named as A-DB's: cayley.conv_in.weight, cayley.conv_cayley.alpha.
    """
    collection, part, *inner, leaf = path
    if part == "backbone":
        return f"res.{resnet.torch_name((collection, *inner, leaf))}"
    if part == "block":
        return f"cayley.{robust_block.torch_name((*inner, leaf))}"
    (module,) = inner
    if part == "distortion":
        module = f"res.{module.replace('_conv', '_pool.0')}"
    elif module.startswith("conv"):
        module = f"conv1.{2 * (int(module.removeprefix('conv')) - 1)}"
    return f"{module}.{LEAVES[leaf]}"


def to_release(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Tensors under the names that `torch_name` gives, from the release's own, DefenseIQA-NT's or IQA-PyTorch's."""
    released = {}
    for name, tensor in with_masks_applied(without_prefixes(tensors, PREFIXES)).items():
        for pattern, rename in _PYIQA:
            if match := re.fullmatch(pattern, name):
                name = rename(match)
                break
        released[name] = tensor
    return released
