"""Is every quality model as fast as the same model in PyTorch, and does each run, differentiate and train?

    riqa bench models --model linearity-resnet50 koncept512 --batch 1 8 --parity tests/parity

Weights are drawn by an independent PyTorch model (tests/parity) and go through the converter; the run ends where scores
differ. Timed are forward in inference, gradient of the scores to the image, and one training step (ours alone).
"""

import importlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jax import Array

from robust_iqa_jax.benchmarks.machine import ceilings
from robust_iqa_jax.benchmarks.measure import Row, measure, median_and_spread, stopwatch, timed_row
from robust_iqa_jax.benchmarks.rows import Output, collect, publish
from robust_iqa_jax.models.presets import preset
from robust_iqa_jax.models.registry import build
from robust_iqa_jax.models.releases import convert
from robust_iqa_jax.models.spec import ModelSpec
from robust_iqa_jax.training.objectives import OBJECTIVES

REFERENCES: dict[str, tuple[str, str, tuple[Any, ...]]] = {
    "linearity-resnet50": ("torch_linearity_iqa", "TorchLinearityIQA", ("resnet50",)),
    "koncept512": ("torch_koncept512", "TorchKonCept512", ((10, 20, 9),)),
    "tres": ("torch_tres", "TorchTReS", ("resnet50",)),
    "hyperiqa": ("torch_hyper_iqa", "TorchHyperIQA", ()),
    "dbcnn": ("torch_dbcnn", "TorchDBCNN", ()),
    "maniqa": ("torch_maniqa", "TorchMANIQA", ()),
}
"""Model -> module and class of its PyTorch twin in tests/parity, and its arguments."""

TOLERANCE = 1e-3
"""Largest difference of scores from PyTorch's at which a comparison of times means something; float32."""


@dataclass(frozen=True)
class Args:
    """Which models and batches."""

    model: tuple[str, ...] = tuple(REFERENCES)
    batch: tuple[int, ...] = (1, 8)
    """Of inference, at the size that the network reads (a crop, where the model scores crops)."""
    train_batch: int = 2
    """Of the training step; 0 for none."""
    parity: Path = Path("tests/parity")
    """Folder of the PyTorch models, in a checkout."""
    repeats: int = 5
    output: tyro.conf.OmitArgPrefixes[Output] = field(default_factory=Output)


def main(args: Args) -> list[Row]:
    """Measure, print and write the rows; the ratios to PyTorch come last.

    Raises:
      ValueError: unknown model, no PyTorch, or no folder of PyTorch models.
    """
    if unknown := [name for name in args.model if name not in REFERENCES]:
        raise ValueError(f"--model {unknown[0]}: choose among {', '.join(REFERENCES)}")
    if find_spec("torch") is None:
        raise ValueError("bench models: needs PyTorch (pip install 'robust_iqa_jax[parity]')")
    if not (args.parity / "torch_resnet.py").is_file():
        raise ValueError(f"--parity {args.parity}: not the folder tests/parity of a checkout")
    sys.path.insert(0, str(args.parity.parent.absolute()))
    limits = ceilings()
    rows = collect(row for name in args.model for row in _rows(name, args))
    publish("models", "Quality models against PyTorch, at their native inputs", rows, limits, args.output)
    for ours in rows:
        twins = [r for r in rows if (r.case, r.batch, r.pass_, r.impl) == (ours.case, ours.batch, ours.pass_, "torch")]
        if ours.impl == "ours" and twins:
            ratio = ours.median_s / twins[0].median_s
            print(f"{ours.case}, {ours.pass_}, batch {ours.batch}: {ratio:.2f} of PyTorch's time")
    return rows


def _rows(name: str, args: Args) -> Iterator[Row]:
    import torch

    spec = preset(name)
    module, kind, arguments = REFERENCES[name]
    torch.manual_seed(0)
    twin = getattr(importlib.import_module(f"{args.parity.name}.{module}"), kind)(*arguments).eval()
    tensors = {key: value.numpy() for key, value in twin.state_dict().items()}
    found, report, release = convert(tensors, spec)
    if problems := report.problems():
        raise ValueError(f"{name}: the twin's tensors do not fit as {release.name}: {problems}")
    variables = jax.tree.map(jnp.asarray, {"params": found["params"], "batch_stats": found.get("batch_stats", {})})
    net = build(spec)

    def score(variables: Any, x: Array) -> Array:
        return cast(Array, net.apply(variables, x, train=False))[:, -1]

    for batch in args.batch:
        x = _images(spec, batch)
        ours = measure(score, variables, x, repeats=args.repeats)
        y = torch.from_numpy(np.array(x)).permute(0, 3, 1, 2).contiguous()
        with torch.inference_mode():
            expected, seconds = stopwatch(lambda y=y: twin(y), args.repeats)
        error = _difference(ours.result, expected)
        if not error <= TOLERANCE:
            raise ValueError(f"{name}: scores differ from PyTorch's by {error:.1e} of the largest")
        yield timed_row(name, "ours", batch, "forward", ours, error)
        median, spread = median_and_spread(seconds)
        yield Row(name, "torch", batch, "forward", median, spread, 0.0)

    x = _images(spec, 1)
    ours = measure(lambda v, x: jax.grad(lambda x: score(v, x).sum())(x), variables, x, repeats=args.repeats)
    leaf = torch.from_numpy(np.array(x)).permute(0, 3, 1, 2).contiguous().requires_grad_()

    def gradient() -> Any:
        return torch.autograd.grad(_score_of(twin(leaf)).sum(), leaf)[0]

    expected, seconds = stopwatch(gradient, args.repeats)
    error = _difference(ours.result, expected.permute(0, 2, 3, 1))
    yield timed_row(name, "ours", 1, "gradient", ours, error)
    median, spread = median_and_spread(seconds)
    yield Row(name, "torch", 1, "gradient", median, spread, 0.0)

    if args.train_batch:
        x, mos = _images(spec, args.train_batch), jnp.arange(args.train_batch) * 10.0 + 40
        objective, rngs = OBJECTIVES[spec.architecture], {"dropout": jax.random.key(0)}

        def step(variables: Any, x: Array) -> Any:
            rest = {"batch_stats": variables["batch_stats"]}
            loss = lambda p: objective(net, {"params": p, **rest}, x, mos, rngs)  # noqa: E731
            return jax.grad(loss, has_aux=True)(variables["params"])

        yield timed_row(
            name, "ours", args.train_batch, "training step", measure(step, variables, x, repeats=args.repeats)
        )


def _images(spec: ModelSpec, batch: int) -> Array:
    return jnp.asarray(np.random.default_rng(0).normal(size=(batch, *spec.seen_size, 3)), jnp.float32)


def _score_of(outputs: Any) -> Any:
    """Twins give parts with the score last, mappings of maps aside, or one mapping with "score"."""
    if isinstance(outputs, list | tuple):
        outputs = [part for part in outputs if not isinstance(part, dict)][-1]
    if isinstance(outputs, dict):
        outputs = outputs["score"]
    return outputs.reshape(len(outputs), -1)[:, -1]


def _difference(ours: Any, expected: Any) -> float:
    theirs = (_score_of(expected) if not hasattr(expected, "ndim") or expected.ndim < 4 else expected).detach().numpy()
    return float(np.abs(np.asarray(ours).reshape(theirs.shape) - theirs).max() / np.abs(theirs).max())


if __name__ == "__main__":
    main(tyro.cli(Args, description=__doc__))
