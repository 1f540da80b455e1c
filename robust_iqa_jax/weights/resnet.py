"""ResNet weights in torchvision's naming to the variables of backbones.resnet.
Source of the names: torchvision/models/resnet.py (layer1.0.conv1.weight, layer1.0.downsample.1.bias, fc.weight)."""

from collections.abc import Mapping
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from robust_iqa_jax.backbones.resnet import ResNet
from robust_iqa_jax.weights.torch_pickle import CheckpointError

_LEAVES = {
    ("params", "kernel"): "weight",
    ("params", "scale"): "weight",
    ("params", "bias"): "bias",
    ("batch_stats", "mean"): "running_mean",
    ("batch_stats", "var"): "running_var",
}


def convert(tensors: Mapping[str, np.ndarray], variant: str, include_classifier: bool = True) -> dict[str, Any]:
    """Variables of `ResNet(variant, include_classifier)` from torchvision's tensors.

    Args:
      tensors: PyTorch name -> array; `num_batches_tracked` counters are ignored, `fc` too without classifier.
      variant: a key of backbones.resnet.VARIANTS.
      include_classifier: whether the model has `fc`.

    Returns:
      {"params": ..., "batch_stats": ...} with numpy leaves of the tensors' type.

    Raises:
      ValueError: unknown variant.
      CheckpointError: names the tensors that are missing, unused, or of another shape.
    """
    model = ResNet(variant, include_classifier)
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    shapes = jax.eval_shape(lambda key, x: model.init(key, x, train=False), jax.random.key(0), image)
    leaves: dict[tuple[str, ...], Any] = flax.traverse_util.flatten_dict(shapes)  # pyright: ignore[reportAssignmentType]
    ignored = {name for name in tensors if name.endswith(".num_batches_tracked")}
    ignored |= set() if include_classifier else {"fc.weight", "fc.bias"}
    flat, missing, misshapen, used = {}, [], [], set()
    for path, leaf in leaves.items():
        name = torch_name(path)
        if name not in tensors:
            missing.append(name)
            continue
        used.add(name)
        tensor = np.asarray(tensors[name])
        array = tensor.transpose((2, 3, 1, 0) if tensor.ndim == 4 else (1, 0) if tensor.ndim == 2 else None)
        if array.shape != tuple(leaf.shape):
            misshapen.append(f"{name} {tensor.shape}")
        flat[path] = np.ascontiguousarray(array)
    problems = {"missing": missing, "unused": sorted(set(tensors) - used - ignored), "of another shape": misshapen}
    if any(problems.values()):
        listed = "; ".join(f"{kind}: {', '.join(found)}" for kind, found in problems.items() if found)
        raise CheckpointError(f"does not fit {variant}: {listed}")
    return flax.traverse_util.unflatten_dict(flat)


def torch_name(path: tuple[str, ...]) -> str:
    """torchvision's name of a variable: (params, layer1_0, downsample_bn, scale) -> layer1.0.downsample.1.weight."""
    collection, *modules, leaf = path
    parts = [
        {"downsample_conv": "downsample.0", "downsample_bn": "downsample.1"}.get(module, module.replace("_", "."))
        for module in modules
    ]
    return ".".join([*parts, _LEAVES[collection, leaf]])
