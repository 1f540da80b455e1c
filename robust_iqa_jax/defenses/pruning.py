"""Pruning: one entry to every method, from a model and an amount to masks; a new method is one row.
Sources: arXiv 2506.04951 and its code (docs/sources.md 3.3), the methods' own in their files."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

from robust_iqa_jax.data.photo_set import PhotoSet
from robust_iqa_jax.defenses.activations import Activations, pooled_activations
from robust_iqa_jax.defenses.hsic import hsic_masks
from robust_iqa_jax.defenses.magnitude import l1_weight_masks, l2_filter_masks
from robust_iqa_jax.defenses.masks import Masks
from robust_iqa_jax.defenses.pls import displs_masks, pls_masks
from robust_iqa_jax.models.spec import ModelSpec
from robust_iqa_jax.setting_error import SettingError, setting

PruneMethod = Literal["l1", "l2", "pls", "displs", "hsic"]

BY_WEIGHTS: dict[str, Callable[[Mapping[str, Any], float], Masks]] = {"l1": l1_weight_masks, "l2": l2_filter_masks}
"""(parameters, amount) -> masks, over every convolution of the model, the block's included."""

BY_ACTIVATIONS: dict[str, Callable[[Activations, float], Masks]] = {
    "pls": pls_masks,
    "displs": displs_masks,
    "hsic": hsic_masks,
}
"""(activations, amount) -> masks, over the main convolutions of the backbone."""


def prune(
    method: str, amount: float, spec: ModelSpec, variables: dict[str, Any], photos: PhotoSet | None = None
) -> Masks:
    """Masks of a model by one of the methods; `masks.apply_masks` puts them on.

    Args:
      method: a PruneMethod.
      amount: share in [0, 1) to drop.
      spec: the model.
      variables: its variables; unchanged.
      photos: labelled photos for the methods that look at activations; the others do not use them.

    Raises:
      ValueError: unknown method, amount outside [0, 1), or photos that are missing or cannot rank anything.
    """
    check_pruning(method, amount)
    if method in BY_WEIGHTS:
        return BY_WEIGHTS[method](variables["params"], amount)
    if photos is None:
        raise ValueError(f"pruning: {method} looks at activations, give it labelled photos; l1 and l2 need none")
    return BY_ACTIVATIONS[method](pooled_activations(spec, variables, photos), amount)


def check_pruning(method: str, amount: float) -> None:
    """Raise ValueError for an unknown method, or an amount outside [0, 1)."""
    if method not in get_args(PruneMethod):
        raise ValueError(f"pruning: unknown method {method!r}; choose one of {', '.join(get_args(PruneMethod))}")
    if not 0 <= amount < 1:
        raise ValueError(f"pruning: amount must lie in [0, 1), got {amount}")


def gradual_shares(share: float, rounds: int, steps: int) -> dict[int, float]:
    """Step before which a round of pruning comes -> share that is pruned after it; empty without pruning.

    Round r of R, from 1, comes before step 1 + (r - 1) T / 2R of T and reaches p (1 - (1 - r/R)^3): arXiv 1710.01878,
    equation 1, over the first half of a run. One round before training is arXiv 2506.04951.

    Args:
      share: p.
      rounds: R.
      steps: T.

    Raises:
      ValueError: no round, rounds without a share, or more rounds than there are steps for.
    """
    if rounds < 1 or (rounds > 1 and not share):
        raise SettingError(f"{setting('prune_rounds')} {rounds}: 1 or more; more than 1 need {setting('prune')}")
    if rounds > max(1, steps // 2):
        raise SettingError(
            f"{setting('prune_rounds')} {rounds}: more than the first half of {steps} steps has; take fewer"
        )
    if not share:
        return {}
    reached = {1 + r * steps // (2 * rounds): 1 - (1 - (r + 1) / rounds) ** 3 for r in range(rounds)}
    return {step: share * part for step, part in reached.items()}
