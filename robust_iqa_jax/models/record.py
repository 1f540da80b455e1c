"""Architecture: all that the library knows of a quality model, the last thing in the file that has its network.
models.architectures lists the records; nothing else asks which architecture a model is of."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import flax.linen as nn

from robust_iqa_jax.layers.robust_block import RobustBlock
from robust_iqa_jax.losses.objective import Objective
from robust_iqa_jax.losses.total import LossName
from robust_iqa_jax.models.backbone_table import backbone
from robust_iqa_jax.models.spec import BlockSpec, ModelSpec
from robust_iqa_jax.weights.conversion import Release

Normalisation = tuple[tuple[float, ...], tuple[float, ...]]
"""(mean, std) of [0,1] pixels, of (x - mean) / std."""


class Preset(NamedTuple):
    """Models under one name: NAME, NAME-robust with the RobustBlock where the paper has it or, in models that it does
    not treat, where we put it, and NAME-authors with the conventions that the paper's checkpoints were trained with."""

    plain: ModelSpec
    robust: ModelSpec
    authors: ModelSpec | None = None


def preset(plain: ModelSpec, block: BlockSpec, authors: bool = False) -> Preset:
    """A model without a block, with it, and with it as its authors have it where they published checkpoints of it."""
    theirs = dataclasses.replace(block, norm="spectrum", alpha_init=1.0, compat="authors")
    return Preset(
        plain, dataclasses.replace(plain, block=block), dataclasses.replace(plain, block=theirs) if authors else None
    )


@dataclass(frozen=True)
class Rescale:
    """score = slope * output + intercept, on the scale of the labels.

    Attributes:
      slope, intercept: fitted on the training set after training; 1 and 0 in checkpoints from before its end.
      low, high: extremes of the rescaled scores, None where the checkpoint has none. The adversarial-training code of
        LinearityIQA takes them over the training set, the RobustBlock's authors in the end over the test set.
    """

    slope: float
    intercept: float
    low: float | None = None
    high: float | None = None


class StoredRescale(NamedTuple):
    """The rescale that a release keeps beside its weights or among them.

    Attributes:
      words: what a file without it lacks.
      read: values of a file by name, tensors among them -> the rescale; None where it has none.
    """

    words: str = "scale of scores"
    read: Callable[[Mapping[str, Any]], Rescale | None] = lambda values: None


def pretrained_backbone(spec: ModelSpec) -> dict[str, Any]:
    """ImageNet weights of the spec's backbone, the model's part "backbone"; see Architecture.pretrained."""
    return {collection: {"backbone": leaves} for collection, leaves in backbone(spec.backbone).pretrained().items()}


@dataclass(frozen=True)
class Architecture:
    """One architecture.

    Attributes:
      name: in ModelSpec.architecture.
      title: as its paper writes it.
      paper: arXiv number or venue.
      build: (spec, mapped axis of batch statistics or None) -> module; ValueError for a spec that it cannot be.
      block_points: spec -> names where a RobustBlock can sit.
      normalisation: spec -> that of its input.
      loss: of the scores, as published.
      releases: spec -> names that published files give to its tensors, those of backbones alone last.
      presets: the models of it that have a name.
      objective: mapped axis -> loss of a batch, of an architecture whose loss needs more than outputs; a run cannot
        choose another. None: `loss`, or the run's choice, of the outputs.
      score_range: of the published weights on their own data set, higher is better; None: the scale is free and comes
        with the checkpoint's calibration.
      rescale: how published files keep it.
      pretrained: spec -> {"params", "batch_stats"} of the parts that training starts from ImageNet weights, others are
        drawn; ValueError where no package carries them. The backbone of models.backbone_table, where nothing is said.
      reads_maps: the module is LinearityIQA's or one like it: `backbone` names any of models.backbone_table and `taps`
        its maps, its call takes `train_backbone_stats` and `start`, its methods `features` and `regress` are the pooled
        maps and the head. With them it can be trained in ways that others cannot: the head alone on pooled features,
        from a map on, on kept maps, in bfloat16, without blocks' pruned channels.
      orthogonal: the network has Cayley convolutions of its own, whose inverses `Scorer.prepare` computes once.
      fitted_head: (params, features, opinion scores, image size) -> params whose head is fitted in closed form, before
        the steps and after them; features are what the module's `means` gives. None: heads are trained by the steps.
    """

    name: str
    title: str
    paper: str
    build: Callable[[ModelSpec, str | None], nn.Module]
    block_points: Callable[[ModelSpec], tuple[str, ...]]
    normalisation: Callable[[ModelSpec], Normalisation]
    loss: LossName
    releases: Callable[[ModelSpec], tuple[Release, ...]] = lambda spec: ()
    presets: Mapping[str, Preset] = field(default_factory=dict)
    objective: Callable[[str | None], Objective] | None = None
    score_range: tuple[float, float] | None = None
    rescale: StoredRescale = field(default_factory=StoredRescale)
    pretrained: Callable[[ModelSpec], Mapping[str, Any]] = pretrained_backbone
    reads_maps: bool = False
    orthogonal: bool = False
    fitted_head: Callable[[Any, Sequence[Any], Any, tuple[int, int]], Any] | None = None


def robust_block(spec: ModelSpec) -> RobustBlock | None:
    """The block that a spec asks for."""
    if spec.block is None:
        return None
    fields = spec.block
    return RobustBlock(**{name: value for name, value in vars(fields).items() if name != "at"})


def block_at(spec: ModelSpec) -> str:
    """Where it sits; "" for none."""
    return "" if spec.block is None else spec.block.at
