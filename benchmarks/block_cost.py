"""What does the RobustBlock add to a whole network? LinearityIQA over a ResNet, without it and behind layer3.

    riqa bench block_cost --batch 1 8 --train-batch 8 --json rows.json

Inference with prepared operators, and one training step (gradient of the loss in every parameter, batch statistics),
the network and its blocks in turns. Prepared outputs are compared with the trained form's before they are timed.
The paper's rows: 2.83 times the base model's time in inference, 1.81 times in training.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast, get_args

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jax import Array

from robust_iqa_jax.backbones.resnet import ResNet
from robust_iqa_jax.benchmarks.machine import ceilings
from robust_iqa_jax.benchmarks.measure import Row, Timing, measure_in_turns, relative_error, timed_row
from robust_iqa_jax.benchmarks.rows import Output, collect, publish
from robust_iqa_jax.layers import RobustBlock, prepared
from robust_iqa_jax.layers.robust_block import Convolution
from robust_iqa_jax.losses.total import linearity_iqa_loss
from robust_iqa_jax.models.linearity_iqa import LinearityIQA

BASE = "base"
TOLERANCE = 1e-4
"""Largest difference of prepared outputs from the trained form's, of the largest output."""


@dataclass(frozen=True)
class Args:
    """Network, image size, blocks and batches."""

    backbone: str = "resnet50"
    size: tuple[int, int] = (498, 664)
    """Height and width; the paper's."""
    mid_channels: int = 200
    convolution: tuple[Convolution, ...] = ("cayley", "bcop", "bro")
    """Of the blocks."""
    batch: tuple[int, ...] = (1,)
    """Of inference."""
    train_batch: tuple[int, ...] = (8,)
    """Of the training step; none where empty."""
    repeats: int = 5
    output: tyro.conf.OmitArgPrefixes[Output] = field(default_factory=Output)


@dataclass(frozen=True)
class _Network:
    module: LinearityIQA
    variables: dict[str, Any]
    fixed: dict[str, Any]
    error: float
    """Of prepared outputs."""


def main(args: Args) -> list[Row]:
    """Measure, print and write the rows; ratios to the base come last.

    Raises:
      ValueError: an unknown convolution, or prepared outputs that are not the trained form's.
    """
    if unknown := [name for name in args.convolution if name not in get_args(Convolution)]:
        raise ValueError(f"--convolution {unknown[0]}: unknown; choose among {', '.join(get_args(Convolution))}")
    limits, rows = ceilings(), collect(cost_rows(args))
    size = f"{args.size[0]}x{args.size[1]}"
    publish(
        "block_cost", f"Cost of the RobustBlock in LinearityIQA, {args.backbone}, {size}", rows, limits, args.output
    )
    base = {(row.pass_, row.batch): row.median_s for row in rows if row.impl == BASE}
    for row in rows:
        if row.impl != BASE:
            ratio = row.median_s / base[row.pass_, row.batch]
            print(f"{row.impl}, {row.pass_}, batch {row.batch}: {ratio:.3f} of the base model's time")
    return rows


def cost_rows(args: Args) -> Iterator[Row]:
    """Inference and training step of every network, at every batch."""
    networks = {name: _network(args, name) for name in (BASE, *args.convolution)}
    for batch in args.batch:
        images = _images(args, batch)
        calls = {name: (partial(n.module.apply, train=False), (n.fixed, images)) for name, n in networks.items()}
        yield from _rows(args, networks, batch, "cached", measure_in_turns(calls, args.repeats))
    for batch in args.train_batch:
        inputs = (_images(args, batch), jnp.arange(batch) * 1.0)
        calls = {name: (_training_step(n.module), (n.variables, *inputs)) for name, n in networks.items()}
        yield from _rows(args, networks, batch, "forward+backward", measure_in_turns(calls, args.repeats))


def _rows(
    args: Args, networks: dict[str, _Network], batch: int, pass_: str, timings: dict[str, Timing]
) -> Iterator[Row]:
    for name, timing in timings.items():
        error = networks[name].error if pass_ == "cached" else None
        yield timed_row(args.backbone, name, batch, pass_, timing, error)


def _network(args: Args, name: str) -> _Network:
    """The network, its variables, and the same prepared."""
    block = None if name == BASE else RobustBlock(args.mid_channels, convolution=cast(Convolution, name))
    module = LinearityIQA(ResNet(args.backbone), ("layer3", "layer4"), block, "layer3" if block else "")
    images = _images(args, 1)
    variables = jax.jit(lambda key: module.init(key, images, train=False))(jax.random.key(0))
    fixed = jax.jit(lambda v: prepared(module, v, images, train=False))(variables) if block else variables
    infer = jax.jit(partial(module.apply, train=False))
    expected, y = (np.asarray(infer(v, images)) for v in (variables, fixed))
    error = relative_error(y, expected)
    if not error <= TOLERANCE:
        raise ValueError(f"block_cost: prepared outputs of {name} differ from the trained form's by {error:.1e}")
    return _Network(module, cast(dict[str, Any], variables), cast(dict[str, Any], fixed), error)


def _images(args: Args, batch: int) -> Array:
    return jnp.asarray(np.random.default_rng(0).normal(size=(batch, *args.size, 3)), jnp.float32)


def _training_step(module: LinearityIQA) -> Any:
    def loss(params: Any, batch_stats: Any, images: Array, scores: Array) -> tuple[Array, Any]:
        variables = {"params": params, "batch_stats": batch_stats}
        outputs, updated = module.apply(variables, images, train=True, mutable=["batch_stats"])
        return linearity_iqa_loss(outputs, scores), updated

    def step(variables: dict[str, Any], images: Array, scores: Array) -> Any:
        return jax.grad(loss, has_aux=True)(variables["params"], variables["batch_stats"], images, scores)

    return step
