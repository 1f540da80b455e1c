"""From a ModelSpec to a Flax module and its variables. A new backbone is a row in models.backbone_table, a new
architecture a file with a record and a line in models.architectures."""

from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.functional.elementwise import over
from robust_iqa_jax.models.architectures import architecture
from robust_iqa_jax.models.spec import ModelSpec

COLLECTIONS = ("params", "batch_stats")
"""Variable collections that a checkpoint holds; a model without batch normalisation has an empty second one."""


def build(spec: ModelSpec, bn_axis_name: str | None = None) -> nn.Module:
    """The Flax module that a spec describes: normalised images -> (n, outputs), the score in the last column.

    Args:
      spec: the model.
      bn_axis_name: mapped axis for cross-replica batch statistics, None for one device.

    Raises:
      ValueError: unknown architecture, backbone or feature map, or a backbone that the architecture has no use for, in
        one line with the allowed names.
    """
    record = architecture(spec)
    if spec.block is not None and spec.block.at not in record.block_points(spec):
        raise ValueError(
            f"{spec.architecture} over {spec.backbone}: no feature map {spec.block.at!r} for the block; "
            f"choose one of {', '.join(record.block_points(spec))}"
        )
    return record.build(spec, bn_axis_name)


def normalise(spec: ModelSpec, images: Float[Array, "n h w 3"]) -> Float[Array, "n h w 3"]:
    """[0,1] pixels to the model's input range."""
    mean, std = (over(jnp.asarray(v, images.dtype), images) for v in architecture(spec).normalisation(spec))
    return (images - mean) / std


def init_pretrained(spec: ModelSpec, key: Array) -> dict[str, Any]:
    """Variables to start training from: ImageNet backbone, freshly drawn head and block.

    Args:
      spec: the model.
      key: PRNG key of the fresh parts.

    Returns:
      {"params": {"backbone", "head"[, "block"]}, "batch_stats": ...}, float32.

    Raises:
      ValueError: no package carries weights of this backbone, or the model is a compact one.
    """
    if spec.inner_widths:
        raise ValueError("a compact model has no ImageNet weights: start from its checkpoint")
    parts = architecture(spec).pretrained(spec)
    return with_fresh_parts(spec, key, {name: jax.tree.map(jnp.asarray, dict(parts[name])) for name in COLLECTIONS})


def with_fresh_parts(spec: ModelSpec, key: Array, variables: dict[str, Any]) -> dict[str, Any]:
    """These variables, and freshly drawn ones for the parts of the model ("head", "block", ...) that they lack.

    Args:
      spec: the model.
      key: PRNG key of the fresh parts.
      variables: {"params", "batch_stats"} of some parts.
    """

    @jax.jit
    def fresh(key: Array) -> dict[str, Any]:
        # what is not returned is not compiled either: drawing a backbone takes XLA longer than training it a little
        return {
            name: {part: v for part, v in drawn.items() if part not in variables[name]}
            for name, drawn in init(spec, key).items()
        }

    return {name: {**parts, **variables[name]} for name, parts in fresh(key).items()}


def init(spec: ModelSpec, key: Array) -> dict[str, Any]:
    """Freshly drawn variables of the whole model, float32 under jax_enable_x64 too; jit it."""
    images = jnp.zeros((1, *spec.seen_size, 3), jnp.float32)
    drawn = cast(dict[str, Any], build(spec).init(key, images, train=False))
    drawn = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), drawn)
    return {name: dict(drawn.get(name, {})) for name in COLLECTIONS}


def shapes(spec: ModelSpec) -> dict[str, Any]:
    """Shapes and types of the variables of a model, without drawing them."""
    return jax.eval_shape(lambda key: init(spec, key), jax.random.key(0))
