"""When a run prunes how much, and what a round of it does to the variables and to the state of a run under way.
Source: arXiv 1710.01878, equation 1 (gradual pruning); a single round before training is arXiv 2506.04951."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from robust_iqa_jax.data.photo_set import PhotoSet
from robust_iqa_jax.defenses.masks import Masks, apply_masks
from robust_iqa_jax.defenses.pruning import prune
from robust_iqa_jax.training.batch_stats import reestimate_batch_stats
from robust_iqa_jax.training.config import TrainConfig
from robust_iqa_jax.training.step import TrainState

Load = Callable[[int], np.ndarray]


def pruned_shares(config: TrainConfig, total: int) -> dict[int, float]:
    """Step before which a round of pruning comes -> share that is pruned after it; empty without pruning.

    Round r of R, from 1, comes before step 1 + (r - 1) T / 2R of T and reaches p (1 - (1 - r/R)^3).

    Args:
      config: share p and rounds R.
      total: steps T of the run.

    Raises:
      ValueError: no round, rounds without a share, or more rounds than there are steps for.
    """
    rounds = config.prune_rounds
    if rounds < 1 or (rounds > 1 and not config.prune):
        raise ValueError(f"--prune-rounds {rounds}: 1 or more; more than 1 need --prune")
    if rounds > max(1, total // 2):
        raise ValueError(f"--prune-rounds {rounds}: the first half of {total} steps has not so many")
    if not config.prune:
        return {}
    reached = {1 + r * total // (2 * rounds): 1 - (1 - (r + 1) / rounds) ** 3 for r in range(rounds)}
    return {step: config.prune * share for step, share in reached.items()}


def pruned(
    config: TrainConfig,
    share: float,
    variables: dict[str, Any],
    photos: PhotoSet,
    load: Load,
    earlier: Masks | None = None,
) -> tuple[dict[str, Any], Masks]:
    """One round: what is masked is zero, and batch statistics are those of the pruned network.

    Args:
      config: method and model.
      share: pruned after this round, what earlier ones pruned included.
      variables: of the model.
      photos: trained on.
      load: their pixels as the model reads them.
      earlier: masks of the rounds before.

    Returns:
      variables and masks.
    """
    masks = prune(config.prune_method, share, config.model, variables, photos)
    masks = {path: mask * (earlier or {}).get(path, 1) for path, mask in masks.items()}
    variables = {**variables, "params": apply_masks(variables["params"], masks)}
    return reestimate_batch_stats(config, variables, load, len(photos)), masks


def pruned_further(config: TrainConfig, share: float, state: TrainState, photos: PhotoSet, load: Load) -> TrainState:
    """The state of a run after another round; its running average loses what the weights lose. Arguments as above."""
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    variables, masks = pruned(config, share, variables, photos, load, state.masks)
    average = {**state.average, "params": apply_masks(state.average["params"], masks)} if state.average else {}
    return dataclasses.replace(state, masks=masks, average=average, **variables)
