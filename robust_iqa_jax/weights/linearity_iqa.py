"""Names of LinearityIQA's checkpoints, and their linear rescale to opinion scores.
Sources: lidq92/LinearityIQA IQAmodel.py and main.py; abhhfcgjk/VG_Architectural_Adversarial_Robustness, branches main
and Linearity (block, pruning); wianluna/metrics_at metric_at/model.py (adversarial training)."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

import jax
import numpy as np

from robust_iqa_jax.weights import resnet, robust_block
from robust_iqa_jax.weights.conversion import LEAVES, Path, from_torch, require_fit
from robust_iqa_jax.weights.torch_names import with_masks_applied, without_prefix
from robust_iqa_jax.weights.torch_pickle import CheckpointError, read_torch_checkpoint

FEATURES = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
"""Children of torchvision's ResNet, in order: the release keeps them in a sequence, by index."""

BLOCKS = {
    "input": "cayley_block1",
    "stem": "cayley_block2",
    "layer1": "cayley_block3",
    "layer2_2": "cayley_block4",
    "layer2": "cayley_block6",
    "layer3": "cayley_block6",
}
"""Where the RobustBlock sits -> its name there. The positions 1, 2, 4 and 6 of the paper are "input", "stem",
"layer2_2" and "layer3". All have pool="square", padding=0, norm="spectrum"."""


@dataclass(frozen=True)
class Rescale:
    """score = slope * output + intercept, on the scale of the labels (the release's k[0] and b[0]).

    Attributes:
      slope, intercept: fitted on the training set after training; 1 and 0 in checkpoints from before its end.
      low, high: extremes of the rescaled scores, None where the checkpoint has none. The adversarial-training code
        takes them over the training set, the RobustBlock's authors in the end over the test set.
    """

    slope: float
    intercept: float
    low: float | None = None
    high: float | None = None


def torch_name(path: Path, block_at: str = "layer3") -> str:
    """The release's name of a variable of LinearityIQA over a ResNet.

    (params, backbone, layer3_0, conv1, kernel) -> features.6.0.conv1.weight; (params, head, tap0_linear1, dense, bias)
    -> dr6.2.bias; tap0_bn1 -> dr6.3; tap0_score -> regr6; tap1_ -> dr7, regr7; score -> regression;
    (params, block, cayley, alpha) -> cayley_block6.conv_cayley.alpha.

    Args:
      path: of the variable.
      block_at: a key of BLOCKS; where the RobustBlock sits, if there is one.

    Raises:
      ValueError: a block where the authors' code has none.
    """
    collection, part, *modules, leaf = path
    if part == "backbone":
        child, _, rest = resnet.torch_name((collection, *modules, leaf)).partition(".")
        return f"features.{FEATURES.index(child)}.{rest}"
    if part == "block":
        if block_at not in BLOCKS:
            raise ValueError(f"LinearityIQA weights: no block at {block_at!r}; choose one of {', '.join(BLOCKS)}")
        return f"{BLOCKS[block_at]}.{robust_block.torch_name((*modules, leaf))}"
    return f"{_head_name(modules[0])}.{LEAVES[leaf]}"


def _head_name(module: str) -> str:
    if module == "score":
        return "regression"
    tap, layer = module.split("_")
    number = 6 + int(tap.removeprefix("tap"))
    if layer == "score":
        return f"regr{number}"
    if layer.startswith("linear"):
        return f"dr{number}.{2 * int(layer.removeprefix('linear'))}"
    return f"dr{number}.{2 * int(layer.removeprefix('bn')) + 1}"


def convert(tensors: Mapping[str, np.ndarray], shapes: Mapping[str, Any], block_at: str = "layer3") -> dict[str, Any]:
    """Variables of a LinearityIQA from a checkpoint's tensors.

    Understood are the release's tensors, those of a model wrapped for several devices ("module.") or with its
    normalisation ("model.", beside "normalize.mean" and "normalize.std", which the checkpoint then holds as what the
    model expects anyway), and pruned ones (see `with_masks_applied`).

    Args:
      tensors: PyTorch name -> array.
      shapes: the model's variables with `.shape` leaves, as jax.eval_shape of its init gives them.
      block_at: see `torch_name`.

    Returns:
      {"params": ..., "batch_stats": ...} with numpy leaves of the tensors' types.

    Raises:
      CheckpointError: names what is missing, unused (blocks on the taps alone, AOC blocks and batch normalisation of
        the scores have no counterpart), of another shape, or not finite.
    """
    tensors = without_prefix(tensors, "module.")
    tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("normalize.")}
    tensors = with_masks_applied(without_prefix(tensors, "model."))
    variables, report = from_torch(tensors, shapes, lambda path: torch_name(path, block_at))
    require_fit(report, "LinearityIQA")
    return variables


def load(
    path: str | FilePath, shapes: Mapping[str, Any], block_at: str = "layer3"
) -> tuple[dict[str, Any], Rescale | None]:
    """Read a checkpoint of LinearityIQA without executing it.

    Args:
      path: file written by the release, the RobustBlock's authors' code, or the adversarial-training code.
      shapes, block_at: see `convert`.

    Returns:
      variables with float32 numpy leaves, and the rescale; None where the file has no k and b.

    Raises:
      CheckpointError: a file that cannot be read or does not fit, in one line that names it.
      OSError: the file cannot be opened.
    """
    tensors, facts = read_torch_checkpoint(path)
    try:
        variables = convert(tensors, shapes, block_at)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), variables), _rescale(facts)


def _rescale(facts: Mapping[str, Any]) -> Rescale | None:
    if not {"k", "b"} <= facts.keys():
        return None
    slope, intercept = (v[0] if isinstance(v, list | tuple) else v for v in (facts["k"], facts["b"]))
    low, high = (None if facts.get(name) is None else float(facts[name]) for name in ("min", "max"))
    return Rescale(float(slope), float(intercept), low, high)
