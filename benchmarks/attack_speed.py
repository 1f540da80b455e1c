"""How many images a second does PGD attack, against the usual loop in PyTorch?

    riqa bench attack_speed --model linearity-resnet50 --batch 8 --steps 8

The same weights (tests/parity), the same start, the same steps; the run ends where the attacked scores differ. PyTorch
differentiates in the image alone (torch.autograd.grad), which is the faster of its usual forms.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jax import Array

from robust_iqa_jax import attacks
from robust_iqa_jax.benchmarks.machine import ceilings
from robust_iqa_jax.benchmarks.measure import Row, measure, median_and_spread, stopwatch, timed_row
from robust_iqa_jax.benchmarks.rows import Output, collect, publish
from robust_iqa_jax.benchmarks.twins import Twin, check, twin
from robust_iqa_jax.models.architectures import architecture
from robust_iqa_jax.models.registry import normalise

TOLERANCE = 0.02
"""Largest difference of the gains from PyTorch's, of the largest gain: the sign of a gradient near zero is rounding."""


@dataclass(frozen=True)
class Args:
    """Which model and attack."""

    model: str = "linearity-resnet50"
    batch: tuple[int, ...] = (8,)
    size: tuple[int, int] | None = None
    """Height and width; None: what the model was made for."""
    steps: int = 8
    eps: float = 4 / 255
    parity: Path = Path("tests/parity")
    """Folder of the PyTorch models, in a checkout."""
    repeats: int = 3
    output: tyro.conf.OmitArgPrefixes[Output] = field(default_factory=Output)


def main(args: Args) -> list[Row]:
    """Measure, print and write the rows; the ratios come last.

    Raises:
      ValueError: unknown model, no PyTorch, or no folder of PyTorch models.
    """
    check((args.model,), args.parity)
    pair, limits = twin(args.model, args.parity), ceilings()
    rows = collect(row for batch in args.batch for row in _rows(pair, batch, args))
    publish("attack_speed", f"PGD-{args.steps} against {args.model}", rows, limits, args.output)
    for ours, theirs in zip(rows[::2], rows[1::2], strict=True):
        speeds = [ours.batch / row.median_s for row in (ours, theirs)]
        print(
            f"batch {ours.batch}: {speeds[0]:.2f} images/s, PyTorch {speeds[1]:.2f}: {speeds[0] / speeds[1]:.2f} times"
        )
    return rows


def _rows(pair: Twin, batch: int, args: Args) -> list[Row]:
    size = args.size or pair.spec.seen_size
    images = np.random.default_rng(0).uniform(0, 1, (batch, *size, 3)).astype(np.float32)
    attack = attacks.pgd(args.eps, args.steps, random_start=False)
    mean, std = (np.asarray(v, np.float32) for v in architecture(pair.spec).normalisation(pair.spec))

    def score(variables: Any, x: Array) -> Array:
        return pair.score(variables, normalise(pair.spec, x))

    def run(variables: Any, keys: Array, x: Array) -> Array:
        return attack.perturb(lambda v: score(variables, v), keys, x).images

    keys = jax.random.split(jax.random.key(0), batch)
    ours = measure(run, pair.variables, keys, jnp.asarray(images), repeats=args.repeats)
    found, seconds = stopwatch(lambda: _torch_pgd(pair, images, mean, std, args), args.repeats)
    scores = [jax.jit(score)(pair.variables, jnp.asarray(x)) for x in (images, ours.result, found)]
    gains = [np.asarray(s - scores[0]) for s in scores[1:]]
    error = float(np.abs(gains[0] - gains[1]).max() / np.abs(gains[1]).max())
    if not error <= TOLERANCE:
        raise ValueError(f"attack_speed: gains differ from PyTorch's by {error:.1e} of the largest")
    case = f"{args.model} {size[0]}x{size[1]}"
    median, spread = median_and_spread(seconds)
    return [
        timed_row(case, "ours", batch, f"pgd-{args.steps}", ours, error),
        Row(case, "torch", batch, f"pgd-{args.steps}", median, spread, 0.0),
    ]


def _torch_pgd(pair: Twin, images: np.ndarray, mean: np.ndarray, std: np.ndarray, args: Args) -> np.ndarray:
    """The usual loop: gradient of the summed scores, sign step, projection, clip."""
    import torch

    clean = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    shift, scale = (torch.from_numpy(v).reshape(1, 3, 1, 1) for v in (mean, std))
    step_size = 1.25 * args.eps if args.steps == 1 else 2.5 * args.eps / args.steps
    perturbation = torch.zeros_like(clean)
    for _ in range(args.steps):
        x = (clean + perturbation).clamp(0, 1).requires_grad_()
        (gradient,) = torch.autograd.grad(pair.torch_score((x - shift) / scale).sum(), x)
        perturbation = (perturbation + step_size * gradient.sign()).clamp(-args.eps, args.eps)
    return (clean + perturbation).clamp(0, 1).permute(0, 2, 3, 1).numpy()
