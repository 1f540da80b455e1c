"""What does the RobustBlock add to a whole network? LinearityIQA over a ResNet, without it and behind layer3.

    riqa bench block_cost --batch 1 --train-batch 8 --json rows.json

Inference with the prepared operator, and one training step (gradient of the loss in every parameter, batch statistics).
The paper's rows: 2.83 times the base model's time in inference, 1.81 times in training.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jax import Array

from robust_iqa_jax.backbones.resnet import ResNet
from robust_iqa_jax.benchmarks.machine import ceilings
from robust_iqa_jax.benchmarks.measure import Row, measure, timed_row
from robust_iqa_jax.benchmarks.rows import Output, publish
from robust_iqa_jax.layers.orthogonal_conv import OPERATORS, with_operators
from robust_iqa_jax.layers.robust_block import RobustBlock
from robust_iqa_jax.losses.total import linearity_iqa_loss
from robust_iqa_jax.models.linearity_iqa import LinearityIQA


@dataclass(frozen=True)
class Args:
    """Network, image size and batches."""

    backbone: str = "resnet50"
    size: tuple[int, int] = (498, 664)
    """Height and width; the paper's."""
    mid_channels: int = 200
    batch: tuple[int, ...] = (1,)
    """Of inference."""
    train_batch: tuple[int, ...] = (8,)
    """Of the training step; none where empty."""
    repeats: int = 5
    output: tyro.conf.OmitArgPrefixes[Output] = field(default_factory=Output)


def main(args: Args) -> list[Row]:
    """Measure, print and write the rows; "of base" ratios come last."""
    limits, rows = ceilings(), []
    models = {name: _model(args, name) for name in ("base", "robust-block")}
    for name, (module, variables, prepared) in models.items():
        for batch in args.batch:
            infer = partial(module.apply, train=False)
            timing = measure(infer, prepared, _images(args, batch), repeats=args.repeats)
            rows.append(timed_row(args.backbone, name, batch, "cached", timing))
        for batch in args.train_batch:
            step = _training_step(module)
            timing = measure(step, variables, _images(args, batch), jnp.arange(batch) * 1.0, repeats=args.repeats)
            rows.append(timed_row(args.backbone, name, batch, "forward+backward", timing))
    size = f"{args.size[0]}x{args.size[1]}"
    publish(
        "block_cost", f"Cost of the RobustBlock in LinearityIQA, {args.backbone}, {size}", rows, limits, args.output
    )
    half = len(rows) // 2
    for base, block in zip(rows[:half], rows[half:], strict=True):
        print(f"{base.pass_}, batch {base.batch}: {block.median_s / base.median_s:.3f} of the base model's time")
    return rows


def _model(args: Args, name: str) -> tuple[LinearityIQA, dict[str, Any], dict[str, Any]]:
    """The network, its variables, and the same with prepared operators."""
    block = RobustBlock(args.mid_channels, "square", 0) if name == "robust-block" else None
    module = LinearityIQA(ResNet(args.backbone), ("layer3", "layer4"), block, "layer3" if block else "")
    images = _images(args, 1)
    variables = jax.jit(lambda key: module.init(key, images, train=False))(jax.random.key(0))
    if block is None:
        return module, variables, variables
    _, made = jax.jit(lambda v: module.apply(v, images, train=False, mutable=[OPERATORS]))(variables)
    return module, variables, with_operators(variables, made[OPERATORS])


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
