"""Start a RobustBlock as the best rank-M projection of the map that it replaces, so that the layers behind it still
find what they were pretrained on. Ours, not the paper's: see ARCHITECTURE.md for the derivation and what it buys."""

from collections.abc import Iterable
from typing import Any, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.functional.cayley import isometry_kernel
from robust_iqa_jax.models.registry import build, normalise
from robust_iqa_jax.models.spec import ModelSpec


def project_block(
    spec: ModelSpec, variables: dict[str, Any], batches: Iterable[Float[Array, "n h w 3"]]
) -> dict[str, Any]:
    """Variables whose block computes mean + E E^T (x - mean) at every pixel, E the leading principal directions.

    conv_in becomes E^T at its centre tap, the orthogonal convolution becomes E exactly: E is rotated so that its top
    square is symmetric positive semi-definite, which makes its inverse Cayley transform exist and well conditioned.

    Args:
      spec: model with a block whose mid_channels do not exceed the map's channels.
      variables: of the model; only the block's change.
      batches: [0,1] images from which mean and covariance of the map are taken.

    Returns:
      new variables.

    Raises:
      ValueError: mid_channels above the map's channels.
    """
    assert spec.block is not None
    block = variables["params"]["block"]
    channels, rank = block["cayley"]["bias"].shape[0], spec.block.mid_channels
    if rank > channels:
        raise ValueError(f"block_start projection: mid_channels {rank} exceeds the map's {channels} channels")
    backbone = build(spec).backbone
    at = spec.block.at

    @jax.jit
    def moments(images: Array) -> tuple[Array, Array, int]:
        bare = {name: variables[name]["backbone"] for name in ("params", "batch_stats")}
        maps = {"input": normalise(spec, images)}
        if at != "input":
            maps = cast(dict[str, Array], backbone.apply(bare, maps["input"], train=False))
        x = maps[at].reshape(-1, channels)
        return x.sum(0), x.T @ x, x.shape[0]

    total, second, count = jnp.zeros(channels), jnp.zeros((channels, channels)), 0
    for images in batches:
        batch_total, batch_second, batch_count = moments(images)
        total, second, count = total + batch_total, second + batch_second, count + batch_count
    mean = total / count
    covariance = second / count - jnp.outer(mean, mean)
    basis = jnp.linalg.eigh(covariance)[1][:, ::-1][:, :rank]
    left, _, right = jnp.linalg.svd(basis[:rank])
    basis = basis @ (left @ right).T  # polar factor: the top square becomes symmetric positive semi-definite
    kernel = isometry_kernel(basis, block["cayley"]["kernel"].shape[:2])
    centre = tuple((k - 1) // 2 for k in block["conv_in"]["kernel"].shape[:2])
    started = {
        "conv_in": {
            "kernel": jnp.zeros_like(block["conv_in"]["kernel"]).at[centre].set(basis),
            "bias": -mean @ basis,
        },
        "cayley": {"kernel": kernel, "alpha": jnp.linalg.norm(kernel.ravel()), "bias": mean},
    }
    return {**variables, "params": {**variables["params"], "block": started}}
