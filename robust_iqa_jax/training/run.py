"""A run, resolved once: what a configuration means for these labels on these devices, and why it cannot be.
Made before the first second of work; all that the phases of training.loop and the step read is here."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import flax.linen as nn
import jax
import numpy as np
import optax
from jaxtyping import Array, Float

from robust_iqa_jax.data.pipeline import Augment, check_batch_size, crop_and_flip
from robust_iqa_jax.defenses.adversarial_training import AdversarialConfig
from robust_iqa_jax.defenses.distillation import DistillationConfig, taught_labels
from robust_iqa_jax.defenses.pruning import check_pruning, gradual_shares
from robust_iqa_jax.devices import Devices, run_devices
from robust_iqa_jax.extras import require
from robust_iqa_jax.losses.objective import Apply, Objective
from robust_iqa_jax.losses.total import OutputLoss
from robust_iqa_jax.models import checkpoint
from robust_iqa_jax.models.architectures import architecture
from robust_iqa_jax.models.backbone_table import backbone
from robust_iqa_jax.models.registry import build
from robust_iqa_jax.setting_error import SettingError, setting
from robust_iqa_jax.training.config import TrainConfig
from robust_iqa_jax.training.micro_batches import apply_in_parts
from robust_iqa_jax.training.objectives import objective, output_loss
from robust_iqa_jax.training.optimizer import make_optimizer, part_labels

POSITIVE = (
    "steps",
    "epochs",
    "batch_size",
    "learning_rate",
    "checkpoint_every",
    "validate_every",
    "patience",
    "crop",
    "clip",
)
"""Settings that are above zero where they are given."""

OF_MAPS = ("head_epochs", "cache_frozen", "train_from", "compute_dtype")
"""Settings of architectures that read maps (LinearityIQA) only."""

Load = Callable[[int], np.ndarray]
"""Photo index -> its pixels 0..255, float32 (h, w, 3), or its two cached maps, float16 (2, h, w, c)."""


@dataclass(frozen=True, eq=False)
class Run:
    """What a configuration means; make it with `resolve`.

    Attributes:
      config: of the run.
      devices: where its state and batches live.
      module: of the model on one device; for what happens between steps.
      apply: the model's in a step, in parts of a batch where the run has them; statistics are those of all devices.
      objective: loss of a batch.
      output_loss: loss of a batch's outputs, which adversarial training raises.
      optimizer: of all parameters.
      adversarial: the attack of each step, with the range of the labels; None without adversarial training.
      teach: (pixels, labels) -> labels that a teacher's scores of the pixels are part of; None without distillation.
      augment: what is done at random to what `load` gives.
      total_steps: length.
      pruning: step before which a round of pruning comes -> share of filters that is pruned after it.
      reads_maps: whether the model is a head on pooled maps of a backbone (training.linearity).
      cached_map: name of the backbone's map that is kept on disk and trained on in place of pixels, or None.
    """

    config: TrainConfig
    devices: Devices
    module: nn.Module
    apply: Apply
    objective: Objective
    output_loss: OutputLoss
    optimizer: optax.GradientTransformation
    adversarial: AdversarialConfig | None
    teach: Callable[[Array, Array], Array] | None
    augment: Augment
    total_steps: int
    pruning: Mapping[int, float]
    reads_maps: bool
    cached_map: str | None


def resolve(config: TrainConfig, labels: Float[np.ndarray, " n"]) -> Run:
    """The run that a configuration describes, on the devices at hand.

    Args:
      config: the run.
      labels: (n,) scores of the training photos.

    Raises:
      MissingExtra: a package that training needs is not installed.
      CheckpointError: the teacher cannot be read.
      ValueError: settings that do not fit the model, each other, the devices or the number of photos.
    """
    require("training", "grain", "orbax", "tensorboardX")
    module = build(config.model)
    reads_maps = architecture(config.model).reads_maps
    _check_settings(config, reads_maps)
    check_batch_size(len(labels), config.batch_size)
    devices = run_devices(config.parallel, config.batch_size)
    _check_parts(config, config.batch_size // devices.count)
    axis = devices.axis_name
    total = total_steps(config, len(labels))
    pruning = gradual_shares(config.prune, config.prune_rounds, total)
    cached_map = _cached_map(config) if config.cache_frozen else None
    apply = apply_in_parts(module if axis is None else build(config.model, axis), config.accumulate, reads_maps)
    if reads_maps:
        apply = partial(apply, train_backbone_stats=config.backbone_stats == "batch", start=cached_map)
    return Run(
        config=config,
        devices=devices,
        module=module,
        apply=apply,
        objective=objective(config, axis),
        output_loss=output_loss(config, axis),
        optimizer=make_optimizer(config, total),
        adversarial=_with_label_range(config.adversarial, labels),
        teach=None if config.distillation is None else _teaching(config.distillation),
        augment=_augmentation(config, _read_size(config, module, cached_map)),
        total_steps=total,
        pruning=pruning,
        reads_maps=reads_maps,
        cached_map=cached_map,
    )


def total_steps(config: TrainConfig, photos: int) -> int:
    """Length of the run in steps."""
    return config.steps if config.steps is not None else max(1, round(config.epochs * photos / config.batch_size))


def _check_settings(config: TrainConfig, reads_maps: bool) -> None:
    for field in () if reads_maps else OF_MAPS:
        if getattr(config, field) != getattr(TrainConfig, field):
            raise SettingError(f"{setting(field)}: only LinearityIQA has it, not {config.model.architecture}")
    output_loss(config)
    _check_consistency(config)
    part_labels(config, {})
    check_pruning(config.prune_method, config.prune)
    for field in POSITIVE:
        value = getattr(config, field)
        if value is not None and not (value > 0 and np.isfinite(value)):
            raise SettingError(f"{setting(field)} {value}: must be above 0")
    if config.ema is not None and not 0 < config.ema < 1:
        raise SettingError(f"{setting('ema')} {config.ema}: a decay lies between 0 and 1, such as 0.999")
    if config.warmup < 0:
        raise SettingError(f"{setting('warmup')} {config.warmup}: must not be negative")
    if config.weight_decay < 0:
        raise SettingError(f"{setting('weight_decay')} {config.weight_decay}: must not be negative")


def _check_consistency(config: TrainConfig) -> None:
    if config.consistency is None:
        return
    consistency = setting("consistency")
    if config.adversarial is not None:
        raise SettingError(
            f"{consistency}: the photos of a step are attacked once; drop it or {setting('adversarial')}"
        )
    record = architecture(config.model)
    if record.objective is not None:
        raise SettingError(f"{consistency}: {record.title} is trained with a loss of its own; leave it out")
    if config.batch_size < 2:
        raise SettingError(
            f"{setting('batch_size')} {config.batch_size}: {consistency} compares the photos of a batch; give 2 or more"
        )


def _check_parts(config: TrainConfig, share: int) -> None:
    if config.accumulate < 1 or share % config.accumulate:
        raise SettingError(
            f"{setting('accumulate')} {config.accumulate}: must divide the {share} photos that a device has of a batch"
        )


def _with_label_range(adversarial: AdversarialConfig | None, labels: np.ndarray) -> AdversarialConfig | None:
    """The attack with the training labels' extremes where it is left to find them."""
    if adversarial is None or adversarial.label_range is not None:
        return adversarial
    return dataclasses.replace(adversarial, label_range=(float(np.min(labels)), float(np.max(labels))))


def _teaching(distillation: DistillationConfig) -> Callable[[Array, Array], Array]:
    """What a step does to its labels; SettingError where the teacher does not read photos as they are."""
    teacher = checkpoint.load(distillation.teacher)
    if (crops := teacher.spec.crops) is not None:
        raise SettingError(
            f"{setting('distillation')} {distillation.teacher}: reads windows of {crops.side} pixels, not crops of any "
            "size; choose a teacher that reads whole photos"
        )
    return partial(taught_labels, teacher, distillation.share)


def _cached_map(config: TrainConfig) -> str:
    """Name of the last map of the frozen part; ValueError where it is not the same at every step."""
    entry = backbone(config.model.backbone)
    taps, cache = entry.taps, setting("cache_frozen")
    for field in ("gradient_norm", "adversarial", "consistency", "distillation"):
        if getattr(config, field) is not None:
            raise SettingError(f"{cache}: cached maps have no pixels for {field}; drop one of the two")
    if config.prune_rounds > 1:
        raise SettingError(
            f"{cache}: later rounds of {setting('prune_rounds')} change the frozen layers; drop one of the two"
        )
    if config.flip_vertical:
        raise SettingError(f"{cache}: there are no maps of photos upside down; drop it or {setting('flip_vertical')}")
    if config.train_from is None or config.train_from == taps[0]:
        raise SettingError(f"{cache}: needs {setting('train_from')} with at least one feature map before it")
    if config.backbone_stats != "frozen":
        raise SettingError(f"{cache}: needs {setting('backbone_stats')} frozen")
    at = taps[taps.index(config.train_from) - 1]
    block = config.model.block
    if block is not None and block.at in entry.block_points[: entry.block_points.index(at)]:
        raise SettingError(
            f"{cache}: the block at {block.at} lies inside the frozen part; choose an earlier {setting('train_from')}"
        )
    return at


def _read_size(config: TrainConfig, module: nn.Module, cached_map: str | None) -> tuple[int, int]:
    """(h, w) of what is augmented: the photos, or their cached maps where crops need to know."""
    if cached_map is None or config.crop is None:
        return config.model.input_size
    images = jax.ShapeDtypeStruct((1, *config.model.input_size, 3), np.float32)
    init = partial(module.backbone.init_with_output, train=False)  # pyright: ignore[reportAttributeAccessIssue]
    maps, _ = jax.eval_shape(init, jax.random.key(0), images)
    return maps[cached_map].shape[1:3]


def _augmentation(config: TrainConfig, size: tuple[int, int]) -> Augment:
    """What the run does at random to photos of (h, w); windows are the run's, or those that the model reads."""
    side = config.crop or (None if config.model.crops is None else config.model.crops.side)
    return crop_and_flip(size, side, config.flip, config.flip_vertical)


def run_key(config: TrainConfig, stream: int) -> Array:
    """Key of one stream of random numbers of the run: 1 the head's fit, 2 dropout, 3 attacks."""
    return jax.random.fold_in(jax.random.key(config.seed), stream)
