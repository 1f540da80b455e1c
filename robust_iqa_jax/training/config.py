"""TrainConfig: one training run as a frozen dataclass; `configs/*.py` return one, the command line overrides fields.
The resolved configuration is written into the work folder and into the checkpoint."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from robust_iqa_jax.defenses.adversarial_training import AdversarialConfig
from robust_iqa_jax.defenses.consistency import ConsistencyConfig
from robust_iqa_jax.defenses.distillation import DistillationConfig
from robust_iqa_jax.defenses.gradient_norm import GradientNormConfig
from robust_iqa_jax.defenses.pruning import PruneMethod
from robust_iqa_jax.devices import Mode
from robust_iqa_jax.losses.total import LossName
from robust_iqa_jax.models.spec import ModelSpec


@dataclass(frozen=True)
class TrainConfig:
    """One run: what is trained on what, how long, from where."""

    name: str = "run"
    """Name in tables and of the default work folder."""
    model: ModelSpec = field(default_factory=ModelSpec)
    data: str = "distorted-photos"
    """Label table (CSV, or LinearityIQA's .mat), folder of an unpacked published archive, or "distorted-photos"."""
    test_group: str = "test"
    """Value of the table's split or fold column that is held out; every other group but validation is trained on."""
    image_column: str | None = None
    """Columns of the label table with image names, scores and groups, where their names are not recognised."""
    score_column: str | None = None
    group_column: str | None = None
    image_dir: str | None = None
    """Folder of a table's images, where they are not beside it or in images/."""
    also: tuple[str, ...] = ()
    """Further data sets that are trained on, each as `data` names one."""
    also_test_groups: tuple[str, ...] = ()
    """Group of each that is held out; "none" trains on all of it."""
    also_lines: tuple[tuple[float, float], ...] = ()
    """(slope, intercept) of each: slope * score + intercept is on the scale of `data`; 1 and 0 where not given."""
    also_times: tuple[int, ...] = ()
    """How often an epoch takes each photo of it; once where not given. An epoch's length counts each photo once."""
    validation_group: str | None = None
    """Value of that column whose photos are evaluated during training instead, for the SROCC. Neither trained nor
    tested on."""
    keep: Literal["best", "last"] = "best"
    """Weights that become the model of a run with validation photos: those of its best evaluation, or of its last step,
    as robust training needs, whose best SROCC comes where it is least robust."""
    validate_every: int | None = None
    """Steps between these evaluations; one epoch where not given."""
    patience: int | None = None
    """Evaluations without a better SROCC after which the run ends early."""
    workdir: Path | None = None
    """Where everything is written; runs/NAME where not given. An interrupted run found there goes on."""
    epochs: float = 10
    head_epochs: float = 0
    """Passes in which the head alone is fitted to pooled features of whole photos, before everything is trained."""
    steps: int | None = None
    """Length in steps; overrides epochs."""
    batch_size: int = 8
    """Photos a step, of all devices together."""
    accumulate: int = 1
    """Parts that a batch goes through the network in, one after the other: the memory of one of them, for a third more
    time. Losses and gradients are still the whole batch's; only batch statistics and dropout are a part's own."""
    learning_rate: float = 1e-4
    """Adam's rate of head and block."""
    backbone_factor: float = 0.1
    """Backbone's rate as a share of learning_rate."""
    weight_decay: float = 0.0
    """Times each weight, added to its gradient before Adam, as torch.optim.Adam does and AdamW does not; TReS: 5e-4."""
    decay: Literal["steps", "cosine"] = "steps"
    """The rates fall tenfold at each third of the run (the papers), or to zero along half a cosine."""
    warmup: int = 0
    """Steps over which the rates rise to their values along a line: Adam's first steps are its wildest."""
    clip: float | None = None
    """Largest norm of the whole gradient, which is scaled down to it; None leaves it as it is."""
    ema: float | None = None
    """Decay of a running average of the weights, such as 0.999, which becomes the model; None: the last weights do."""
    loss: LossName | None = None
    """Loss of the scores; the one that the architecture was published with where not given."""
    monotonicity: float = 0.0
    """Weight of the monotonicity term beside it; LinearityIQA's code suggests 0.1."""
    gradient_norm: GradientNormConfig | None = None
    """NT: the gradient of the score in the pixels is penalised."""
    adversarial: AdversarialConfig | None = None
    """AT: each batch is attacked, and trained on with labels lowered by the damage."""
    consistency: ConsistencyConfig | None = None
    """Consistency training: scores of attacked photos are held at those of the clean ones."""
    distillation: DistillationConfig | None = None
    """Labels lie between people's scores and a teacher's, which sees the very crop."""
    train_from: str | None = None
    """First feature map of the backbone whose layers are trained; the layers before it keep their weights (faster)."""
    cache_frozen: bool = False
    """Compute the maps of the frozen layers once a photo (and mirror image), keep them on disk in half precision.
    Needs train_from and backbone_stats "frozen"."""
    cache_dir: Path | None = None
    """Where they are kept; the work folder where not given. Several runs can share one."""
    backbone_stats: Literal["batch", "frozen"] = "batch"
    """BatchNorm of the backbone in training: of the batch (the papers), or frozen at its running averages, which suits
    small batches and crops."""
    freeze_block: bool = False
    """Leave the RobustBlock as it was drawn, as the authors' LinearityIQA runs did."""
    block_start: Literal["random", "projection"] = "random"
    """"projection" starts the block as the best rank-M projection of the map that it replaces, so that the pretrained
    layers behind it keep working; "random" is the paper."""
    crop: int | None = None
    """Side of random square crops that are trained on, in pixels of the resized photos, or of the cached maps with
    cache_frozen; None trains on whole ones, or on what the model reads where that is windows."""
    flip: bool = True
    """Mirror half of the photos left to right."""
    flip_vertical: bool = False
    """And half of them upside down (TReS)."""
    start_from: Path | None = None
    """Checkpoint whose weights the run starts from, in place of ImageNet's: of the same model, or of the same without
    its RobustBlock, which is then started as block_start says."""
    prune: float = 0.0
    """Share of filters to prune; what is pruned stays so."""
    prune_rounds: int = 1
    """1 prunes all of it before training; more reach it in so many rounds over the first half of the run, large ones
    first (arXiv 1710.01878, equation 1)."""
    prune_method: PruneMethod = "l2"
    """l2: filters of each convolution by norm; l1: single weights of all convolutions; pls, displs, hsic: filters by
    what their activations say about the scores."""
    compute_dtype: Literal["float32", "bfloat16"] = "float32"
    """"bfloat16" runs the backbone's convolutions in it, for accelerators. Weights, batch statistics, the spectral part
    of the block, the head, losses and the passes of gradient_norm, a difference of near scores, stay float32."""
    parallel: Mode = "none"
    """"pmap" or "sharded": the batch is shared by all devices of all processes; "none" runs on one."""
    checkpoint_every: int = 100
    """Steps between resumable checkpoints."""
    seed: int = 19920517

    def to_json(self) -> dict[str, Any]:
        """Plain dict of JSON types."""
        fields = dataclasses.asdict(self)
        return {name: str(value) if isinstance(value, Path) else value for name, value in fields.items()}
