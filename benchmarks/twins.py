"""A quality model twice: in PyTorch, independent of ours (tests/parity), and here with the same weights."""

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from robust_iqa_jax.extras import require
from robust_iqa_jax.models.presets import preset
from robust_iqa_jax.models.registry import build
from robust_iqa_jax.models.releases import convert
from robust_iqa_jax.models.spec import ModelSpec

REFERENCES: dict[str, tuple[str, str, tuple[Any, ...]]] = {
    "linearity-resnet50": ("torch_linearity_iqa", "TorchLinearityIQA", ("resnet50",)),
    "koncept512": ("torch_koncept512", "TorchKonCept512", ((10, 20, 9),)),
    "tres": ("torch_tres", "TorchTReS", ("resnet50",)),
    "hyperiqa": ("torch_hyper_iqa", "TorchHyperIQA", ()),
    "dbcnn": ("torch_dbcnn", "TorchDBCNN", ()),
    "maniqa": ("torch_maniqa", "TorchMANIQA", ()),
}
"""Model -> module and class of its PyTorch twin in tests/parity, and its arguments."""


@dataclass(frozen=True)
class Twin:
    """The two.

    Attributes:
      torch: PyTorch module in evaluation mode; normalised images (n, 3, h, w).
      spec, net, variables: ours, with the PyTorch module's weights; normalised images (n, h, w, 3).
    """

    torch: Any
    spec: ModelSpec
    net: nn.Module
    variables: dict[str, Any]

    @property
    def score(self) -> Callable[[Any, Array], Array]:
        """(variables, images) -> (n,) of our model in inference."""
        return lambda variables, x: cast(Array, self.net.apply(variables, x, train=False))[:, -1]

    def torch_score(self, x: Any) -> Any:
        """(n,) of the PyTorch module."""
        return score_of(self.torch(x))


def check(names: tuple[str, ...], parity: Path) -> None:
    """Raise ValueError for an unknown model or no folder of PyTorch models, MissingExtra where PyTorch is missing."""
    if unknown := [name for name in names if name not in REFERENCES]:
        raise ValueError(f"--model {unknown[0]}: choose among {', '.join(REFERENCES)}")
    require("a comparison with PyTorch", "torch")
    if not (parity / "torch_resnet.py").is_file():
        raise ValueError(f"--parity {parity}: not the folder tests/parity of a checkout")


def twin(name: str, parity: Path) -> Twin:
    """Weights are drawn by the PyTorch model and go through the converter.

    Args:
      name: key of REFERENCES.
      parity: folder of the PyTorch models, tests/parity of a checkout.

    Raises:
      ValueError: see `check`; or tensors that do not fit.
    """
    check((name,), parity)
    sys.path.insert(0, str(parity.parent.absolute()))
    import torch

    module, kind, arguments = REFERENCES[name]
    torch.manual_seed(0)
    reference = getattr(importlib.import_module(f"{parity.name}.{module}"), kind)(*arguments).float().eval()
    tensors = {key: value.numpy() for key, value in reference.state_dict().items()}
    spec = preset(name)
    found, report, release = convert(tensors, spec)
    if problems := report.problems():
        raise ValueError(f"{name}: the twin's tensors do not fit as {release.name}: {problems}")
    variables = jax.tree.map(jnp.asarray, {"params": found["params"], "batch_stats": found.get("batch_stats", {})})
    return Twin(reference, spec, build(spec), variables)


def score_of(outputs: Any) -> Any:
    """Twins give parts with the score last, mappings of maps aside, or one mapping with "score"."""
    if isinstance(outputs, list | tuple):
        outputs = [part for part in outputs if not isinstance(part, dict)][-1]
    if isinstance(outputs, dict):
        outputs = outputs["score"]
    return outputs.reshape(len(outputs), -1)[:, -1]
