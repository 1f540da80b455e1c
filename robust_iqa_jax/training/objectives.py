"""The loss that each architecture is trained with, as its paper has it, from a module and a batch.
Sources: arXiv 2008.03889 (LinearityIQA), 1910.06180 (KonCept512), 2108.06858 (TReS), REFERENCE 2.4 (the others)."""

from collections.abc import Callable
from typing import Any, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.training.losses import linearity_iqa_loss
from robust_iqa_jax.training.tres_loss import self_consistency, tres_loss


class Objective(Protocol):
    """Loss of a batch, and the variables that moved with it."""

    def __call__(
        self,
        module: nn.Module,
        variables: dict[str, Any],
        x: Float[Array, "n h w c"],
        mos: Float[Array, " n"],
        rngs: dict[str, Array],
        **options: Any,
    ) -> tuple[Float[Array, ""], dict[str, Any]]:
        """Args:
          module, variables: of the model.
          x: normalised images (or the map that options name).
          mos: (n,) labels.
          rngs: keys of dropout.
          options: of the module's call.

        Returns:
          loss, {"batch_stats": ...} after the batch.
        """
        ...


def _of_outputs(loss: Callable[[Array, Array], Array]) -> Objective:
    def objective(
        module: nn.Module, variables: dict[str, Any], x: Array, mos: Array, rngs: dict[str, Array], **options: Any
    ) -> tuple[Array, dict[str, Any]]:
        outputs, moved = module.apply(variables, x, train=True, rngs=rngs, mutable=["batch_stats"], **options)
        return loss(outputs, mos), dict(moved)

    return objective


def _tres(
    module: nn.Module, variables: dict[str, Any], x: Array, mos: Array, rngs: dict[str, Array], **options: Any
) -> tuple[Array, dict[str, Any]]:
    scores: list[Array] = []
    consistencies: list[Array] = []
    for i, images in enumerate((x, jnp.flip(x, 2))):
        rngs = {name: jax.random.fold_in(key, i) for name, key in rngs.items()}
        (view, other), moved = module.apply(
            variables, images, train=True, rngs=rngs, mutable=["batch_stats"], method="both_views", **options
        )
        variables = {**variables, **moved}
        scores.append(view.score[:, 0])
        consistencies.append(self_consistency(view.encoded, other.encoded, view.layer4, other.layer4))
    return tres_loss(scores[0], scores[1], consistencies[0], consistencies[1], mos), {
        "batch_stats": variables["batch_stats"]
    }


def squared_error(outputs: Float[Array, "n k"], mos: Float[Array, " n"]) -> Float[Array, ""]:
    """Mean of (score - mos)^2."""
    return jnp.mean((outputs[:, -1] - mos) ** 2)


def absolute_error(outputs: Float[Array, "n k"], mos: Float[Array, " n"]) -> Float[Array, ""]:
    """Mean of |score - mos|."""
    return jnp.mean(jnp.abs(outputs[:, -1] - mos))


OBJECTIVES: dict[str, Objective] = {
    "linearity": _of_outputs(linearity_iqa_loss),
    "koncept512": _of_outputs(squared_error),
    "tres": _tres,
    "hyperiqa": _of_outputs(absolute_error),
    "dbcnn": _of_outputs(squared_error),
    "maniqa": _of_outputs(squared_error),
}
