"""A network that runs on a batch in equal parts, one after the other, and once more in the backward pass.
Recomputation of arXiv 1604.06174 along the batch: memory of one part, the loss and the gradient of the whole."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Apply = Callable[..., Any]
"""As flax.linen.Module.apply with the batch as its only argument by position."""


def apply_in_parts(module: nn.Module, parts: int, reads_maps: bool = False) -> Apply:
    """module.apply, run on `parts` equal parts of a batch.

    Outputs are those of the whole batch, so that any loss of them is the whole batch's, also one that compares its
    images with each other. What a part decides for itself are its batch statistics and its dropout: running averages
    move once a part. A head on pooled maps reads the features of the whole batch at once; with its backbone's
    statistics frozen nothing depends on the parts.

    Part i has the rows i, i + parts, ...: with cross-replica statistics the parts of all devices together are those of
    one device that has all rows.

    Args:
      module: of a model.
      parts: how many; the batch is a multiple of it.
      reads_maps: whether the module has `features` and `regress`, as LinearityIQA has.

    Returns:
      (variables, x, **options of module.apply) -> what module.apply returns.
    """
    if parts == 1:
        return module.apply
    return partial(_features_in_parts if reads_maps else _in_parts, module, parts)


def _features_in_parts(
    module: nn.Module,
    parts: int,
    variables: dict[str, Any],
    x: Float[Array, "n h w c"],
    *,
    train: bool,
    train_backbone_stats: bool = True,
    start: str | None = None,
    mutable: Sequence[str] = (),
    **options: Any,
) -> Any:
    features = _in_parts(
        module,
        parts,
        variables,
        x,
        method="features",
        train=train and train_backbone_stats,
        start=start,
        mutable=mutable,
        **options,
    )
    features, updates = features if mutable else (features, {})
    return module.apply(
        {**variables, **updates}, features, method="regress", train=train, mutable=mutable or False, **options
    )


def _in_parts(
    module: nn.Module,
    parts: int,
    variables: dict[str, Any],
    x: Float[Array, "n h w c"],
    *,
    mutable: Sequence[str] = (),
    rngs: dict[str, Array] | None = None,
    **options: Any,
) -> Any:
    def of_part(before: dict[str, Any], part: tuple[Array, Array]) -> tuple[dict[str, Any], Any]:
        rows, i = part
        keys = None if rngs is None else {name: jax.random.fold_in(key, i) for name, key in rngs.items()}
        result = module.apply({**variables, **before}, rows, rngs=keys, mutable=mutable or False, **options)
        outputs, after = cast(tuple[Any, dict[str, Any]], result) if mutable else (result, {})
        return {name: after.get(name, {}) for name in before}, outputs

    split = jnp.moveaxis(x.reshape(-1, parts, *x.shape[1:]), 1, 0)
    start = {name: variables[name] for name in mutable}
    # in a scan nothing can merge the two runs, which is what prevent_cse is against
    updates, outputs = jax.lax.scan(jax.checkpoint(of_part, prevent_cse=False), start, (split, jnp.arange(parts)))
    outputs = jax.tree.map(lambda y: jnp.moveaxis(y, 0, 1).reshape(-1, *y.shape[2:]), outputs)
    return (outputs, updates) if mutable else outputs
