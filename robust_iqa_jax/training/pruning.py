"""A round of pruning in a run: before its first step, or to the state of a run under way.
Source: arXiv 1710.01878 (gradual pruning); a single round before training is arXiv 2506.04951."""

import dataclasses
from typing import Any

from robust_iqa_jax.data.photo_set import PhotoSet
from robust_iqa_jax.defenses.masks import Masks, apply_masks
from robust_iqa_jax.defenses.pruning import prune
from robust_iqa_jax.training.batch_stats import reestimate_batch_stats
from robust_iqa_jax.training.run import Load, Run
from robust_iqa_jax.training.step import TrainState


def prune_variables(
    run: Run,
    share: float,
    variables: dict[str, Any],
    photos: PhotoSet,
    load: Load,
    earlier: Masks | None = None,
) -> tuple[dict[str, Any], Masks]:
    """One round: what is masked is zero, and batch statistics are those of the pruned network.

    Args:
      run: its method and model.
      share: pruned after this round, what earlier ones pruned included.
      variables: of the model.
      photos: trained on.
      load: their pixels as the model reads them.
      earlier: masks of the rounds before.

    Returns:
      variables and masks.
    """
    masks = prune(run.config.prune_method, share, run.config.model, variables, photos)
    masks = {path: mask * (earlier or {}).get(path, 1) for path, mask in masks.items()}
    variables = {**variables, "params": apply_masks(variables["params"], masks)}
    return reestimate_batch_stats(run.module, run.config.model, variables, load, len(photos)), masks


def prune_state(run: Run, share: float, state: TrainState, photos: PhotoSet, load: Load) -> TrainState:
    """The state of a run after another round; its running average loses what the weights lose. Arguments as above."""
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    variables, masks = prune_variables(run, share, variables, photos, load, state.masks)
    average = {**state.average, "params": apply_masks(state.average["params"], masks)} if state.average else {}
    return dataclasses.replace(state, masks=masks, average=average, **variables)
