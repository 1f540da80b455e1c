"""Objective: what training minimises, from a network's `apply` and a batch of images to a loss and new statistics.
Most architectures have a loss of their outputs alone (`of_outputs`); one that needs more brings its own."""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array, Float

from robust_iqa_jax.losses.total import OutputLoss

Apply = Callable[..., Any]
"""As flax.linen.Module.apply with the batch as its only argument by position."""


@runtime_checkable
class Objective(Protocol):
    """Loss of a batch, and the batch statistics after it."""

    def __call__(
        self,
        apply: Apply,
        variables: dict[str, Any],
        x: Float[Array, "n h w c"],
        mos: Float[Array, " n"],
        rngs: dict[str, Array],
        **options: Any,
    ) -> tuple[Float[Array, ""], dict[str, Any]]:
        """Args:
          apply: of the model's module, or the same in parts (training.micro_batches).
          variables: of the model.
          x: normalised images (or the map that options name).
          mos: (n,) labels.
          rngs: keys of dropout.
          options: of the module's call.

        Returns:
          loss, {"batch_stats": ...} after the batch.
        """
        ...


def of_outputs(loss: OutputLoss) -> Objective:
    """The objective that looks at the outputs of one pass in training mode alone."""

    def objective(
        apply: Apply, variables: dict[str, Any], x: Array, mos: Array, rngs: dict[str, Array], **options: Any
    ) -> tuple[Array, dict[str, Any]]:
        outputs, statistics = apply(variables, x, train=True, rngs=rngs, mutable=["batch_stats"], **options)
        return loss(outputs, mos), dict(statistics)

    return objective
