"""Names of LinearityIQA's checkpoints, and their linear rescale to opinion scores.
Sources: lidq92/LinearityIQA IQAmodel.py and main.py; abhhfcgjk/VG_Architectural_Adversarial_Robustness, branches main
and Linearity (block, pruning); wianluna/metrics_at metric_at/model.py (adversarial training)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from robust_iqa_jax.weights import resnet, robust_block
from robust_iqa_jax.weights.conversion import LEAVES, Path
from robust_iqa_jax.weights.state_dict import with_masks_applied, without_prefixes
from robust_iqa_jax.weights.torch_pickle import CheckpointError

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

RESCALE = ("k", "b", "min", "max")
"""Names of the rescale's values, which stand beside the weights or among them."""


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


def to_release(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Tensors under the names that `torch_name` gives: of a model wrapped for several devices ("module.") or with its
    normalisation ("model.", beside "normalize.mean" and "normalize.std", which are what the model expects anyway)."""
    plain = without_prefixes(tensors, ("module.", "model."))
    kept = {name: v for name, v in plain.items() if not name.startswith("normalize.") and name not in RESCALE}
    return with_masks_applied(kept)


def rescale(facts: Mapping[str, Any]) -> Rescale | None:
    """The rescale among the plain values of a checkpoint; None where it has no k and b.

    Raises:
      CheckpointError: one of them is no number.
    """
    if not {"k", "b"} <= facts.keys():
        return None
    low, high = (_number(name, facts[name]) if facts.get(name) is not None else None for name in ("min", "max"))
    return Rescale(_number("k", facts["k"]), _number("b", facts["b"]), low, high)


def _number(name: str, value: Any) -> float:
    """The first of a list, an array or a tensor of one axis, or the number itself."""
    try:
        return float(np.ravel(np.asarray(value, np.float64))[0])
    except (TypeError, ValueError, IndexError) as error:
        raise CheckpointError(f"its {name} is {value!r:.40}, not a number; give --slope and --intercept") from error
