"""Weights that a run starts from: a checkpoint's or ImageNet's, with a fresh head, and a block drawn or projected.
The projection start is ours, not the paper's: ARCHITECTURE.md derives it and says what it buys."""

import dataclasses
from collections.abc import Iterable
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.data.photo_set import PhotoSet, evenly_spread
from robust_iqa_jax.data.pipeline import evaluation_batches
from robust_iqa_jax.layers import CONVOLUTIONS
from robust_iqa_jax.models import checkpoint
from robust_iqa_jax.models.registry import COLLECTIONS, init_pretrained, normalise, shapes, with_fresh_parts
from robust_iqa_jax.models.scorer import Scorer
from robust_iqa_jax.models.spec import ModelSpec
from robust_iqa_jax.setting_error import SettingError, setting
from robust_iqa_jax.training.config import TrainConfig
from robust_iqa_jax.training.run import Run

PROJECTION_PHOTOS = 64


def initial_variables(run: Run, photos: PhotoSet) -> dict[str, Any]:
    """Weights that the run starts from: a checkpoint's, or ImageNet's with a fresh head; with a fresh block where the
    model has one and the checkpoint none.

    Raises:
      ValueError: the checkpoint holds another model.
    """
    config, key = run.config, jax.random.key(run.config.seed)
    if config.start_from is None:
        variables = init_pretrained(config.model, key)
    else:
        scorer = checkpoint.load(config.start_from)
        check_start(config, scorer)
        variables = {name: scorer.variables[name] for name in COLLECTIONS}
        if (scorer.spec.block is None) == (config.model.block is None):
            return variables
        variables = with_fresh_parts(config.model, key, variables)
    if config.model.block is None or config.block_start == "random":
        return variables
    some = photos.subset(evenly_spread(len(photos), PROJECTION_PHOTOS))
    batches = (jnp.asarray(images[:count]) for images, count in evaluation_batches(some, config.model.input_size, 8))
    return projected_block(run.module, config.model, variables, batches)


def check_start(config: TrainConfig, scorer: Scorer) -> None:
    """Raise ValueError where a run cannot start from a checkpoint: it holds another model, a block and sizes of photos
    aside that do not change the weights' shapes."""
    resized = dataclasses.replace(scorer.spec, input_size=config.model.input_size)
    same = resized in (config.model, dataclasses.replace(config.model, block=None))
    if not same or shapes(resized) != shapes(scorer.spec):
        raise SettingError(
            f"{setting('start_from')} {config.start_from}: holds another model than the configuration's; choose a "
            f"checkpoint of {config.model.architecture} over {config.model.backbone} with its maps"
        )


def projected_block(
    module: nn.Module, spec: ModelSpec, variables: dict[str, Any], batches: Iterable[Float[Array, "n h w 3"]]
) -> dict[str, Any]:
    """Variables whose block computes mean + E E^T (x - mean) at every pixel, E the leading principal directions.

    conv_in becomes E^T at its centre tap, the orthogonal convolution becomes E exactly: E is rotated so that its top
    square is symmetric positive semi-definite, which makes its inverse Cayley transform exist and well conditioned.

    Args:
      module: of the model.
      spec: model with a block whose mid_channels do not exceed the map's channels.
      variables: of the model; only the block's change.
      batches: [0,1] images from which mean and covariance of the map are taken.

    Returns:
      new variables.

    Raises:
      ValueError: mid_channels above the map's channels, or a block whose convolution cannot start so.
    """
    assert spec.block is not None
    block, name = variables["params"]["block"], spec.block.convolution
    channels, rank = block[name]["bias"].shape[0], spec.block.mid_channels
    if rank > channels:
        raise ValueError(f"block_start projection: mid_channels {rank} exceeds the map's {channels} channels")
    mean, covariance = _moments(module, spec, variables, batches, channels)
    basis = jnp.linalg.eigh(covariance)[1][:, ::-1][:, :rank]
    left, _, right = jnp.linalg.svd(basis[:rank])
    basis = basis @ (left @ right).T  # polar factor: the top square becomes symmetric positive semi-definite
    centre = tuple((k - 1) // 2 for k in block["conv_in"]["kernel"].shape[:2])
    projection = {
        "conv_in": {
            "kernel": jnp.zeros_like(block["conv_in"]["kernel"]).at[centre].set(basis),
            "bias": -mean @ basis,
        },
        name: {**CONVOLUTIONS[name].isometry(basis, block[name]), "bias": mean},
    }
    return {**variables, "params": {**variables["params"], "block": projection}}


def _moments(
    module: nn.Module,
    spec: ModelSpec,
    variables: dict[str, Any],
    batches: Iterable[Float[Array, "n h w 3"]],
    channels: int,
) -> tuple[Float[Array, " c"], Float[Array, "c c"]]:
    """Mean and covariance of the map that the block replaces, over all pixels."""
    assert spec.block is not None
    at, backbone = spec.block.at, cast(Any, module).backbone

    @jax.jit
    def sums(images: Array) -> tuple[Array, Array, int]:
        own = {name: variables[name]["backbone"] for name in COLLECTIONS}
        maps = {"input": normalise(spec, images)}
        if at != "input":
            maps = cast(dict[str, Array], backbone.apply(own, maps["input"], train=False))
        x = maps[at].reshape(-1, channels)
        return x.sum(0), x.T @ x, x.shape[0]

    total, second, count = jnp.zeros(channels), jnp.zeros((channels, channels)), 0
    for images in batches:
        batch_total, batch_second, batch_count = sums(images)
        total, second, count = total + batch_total, second + batch_second, count + batch_count
    mean = total / count
    return mean, second / count - jnp.outer(mean, mean)
