"""Is every quality model as fast as the same model in PyTorch, and does each run, differentiate and train?

    riqa bench models --model linearity-resnet50 koncept512 --batch 1 8 --parity tests/parity

Weights are drawn by an independent PyTorch model (tests/parity) and go through the converter; the run ends where scores
differ. Timed are forward in inference, gradient of the scores to the image, and one training step (ours alone).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jax import Array

from robust_iqa_jax.benchmarks.machine import ceilings
from robust_iqa_jax.benchmarks.measure import Row, measure, median_and_spread, stopwatch, timed_row
from robust_iqa_jax.benchmarks.rows import Output, collect, publish
from robust_iqa_jax.benchmarks.twins import REFERENCES, check, score_of, twin
from robust_iqa_jax.models.spec import ModelSpec
from robust_iqa_jax.training.config import TrainConfig
from robust_iqa_jax.training.objectives import objective

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
    check(args.model, args.parity)
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
    pair = twin(name, args.parity)
    import torch

    spec, net, variables, score = pair.spec, pair.net, pair.variables, pair.score
    for batch in args.batch:
        x = _images(spec, batch)
        ours = measure(score, variables, x, repeats=args.repeats)
        y = torch.from_numpy(np.array(x)).permute(0, 3, 1, 2).contiguous()
        with torch.inference_mode():
            expected, seconds = stopwatch(lambda y=y: pair.torch(y), args.repeats)
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
        return torch.autograd.grad(pair.torch_score(leaf).sum(), leaf)[0]

    expected, seconds = stopwatch(gradient, args.repeats)
    error = _difference(ours.result, expected.permute(0, 2, 3, 1))
    yield timed_row(name, "ours", 1, "gradient", ours, error)
    median, spread = median_and_spread(seconds)
    yield Row(name, "torch", 1, "gradient", median, spread, 0.0)

    if args.train_batch:
        x, mos = _images(spec, args.train_batch), jnp.arange(args.train_batch) * 10.0 + 40
        task, rngs = objective(TrainConfig(model=spec)), {"dropout": jax.random.key(0)}

        def step(variables: Any, x: Array) -> Any:
            rest = {"batch_stats": variables["batch_stats"]}
            loss = lambda p: task(net.apply, {"params": p, **rest}, x, mos, rngs)  # noqa: E731
            return jax.grad(loss, has_aux=True)(variables["params"])

        yield timed_row(
            name, "ours", args.train_batch, "training step", measure(step, variables, x, repeats=args.repeats)
        )


def _images(spec: ModelSpec, batch: int) -> Array:
    return jnp.asarray(np.random.default_rng(0).normal(size=(batch, *spec.seen_size, 3)), jnp.float32)


def _difference(ours: Any, expected: Any) -> float:
    theirs = (score_of(expected) if not hasattr(expected, "ndim") or expected.ndim < 4 else expected).detach().numpy()
    return float(np.abs(np.asarray(ours).reshape(theirs.shape) - theirs).max() / np.abs(theirs).max())
