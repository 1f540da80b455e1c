"""A study: models trained alike without and with the RobustBlock, at several places, over several backbones, with
other defences beside it. The comparisons of arXiv 2506.04951, tables 1 (positions) and 2 (NT, AT, "+our": RobustBlock
6, 10 % of the filters pruned)."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from robust_iqa_jax.defenses.adversarial_training import AdversarialConfig
from robust_iqa_jax.defenses.consistency import ConsistencyConfig
from robust_iqa_jax.defenses.gradient_norm import GradientNormConfig
from robust_iqa_jax.defenses.pruning import PruneMethod
from robust_iqa_jax.evaluation.suite import SuiteAttack, SuiteConfig, SuiteData
from robust_iqa_jax.models.spec import BlockSpec, ModelSpec
from robust_iqa_jax.training.config import TrainConfig

BASE, BLOCK, PRUNED = "base", "with-block", "with-block-pruned"
"""Names of runs, after what they have: what it is worth the report says."""


@dataclass(frozen=True)
class Defense:
    """A run that is defended by its training. It differs from the base only in this, and keeps no maps of frozen
    layers, because the defences look at pixels."""

    gradient_norm: GradientNormConfig | None = None
    adversarial: AdversarialConfig | None = None
    consistency: ConsistencyConfig | None = None
    block: bool | BlockSpec = False
    """Whether it has the study's RobustBlock too; or one of its own."""
    block_start: Literal["random", "projection"] = "projection"
    """How that starts."""
    prune: float = 0.0
    """Share of filters that are pruned before it is trained."""
    from_trained: bool = False
    """Start from the finished run without this defence (AT as published), in place of ImageNet's weights."""


@dataclass(frozen=True)
class StudyConfig:
    """What a study trains and how strongly it attacks."""

    base: TrainConfig = field(default_factory=TrainConfig)
    """The undefended run; the others differ from it only in what their name says."""
    block: BlockSpec = field(default_factory=BlockSpec)
    positions: dict[str, BlockSpec] = field(default_factory=dict)
    """Other places of the block: "2" makes the run with-block-2. They may lie in front of frozen layers, so their runs
    keep no maps of these."""
    others: dict[str, ModelSpec] = field(default_factory=dict)
    """Other models: "lite1" makes the runs lite1 and lite1-with-block, which is measured against it."""
    defenses: dict[str, Defense] = field(default_factory=dict)
    """Runs that are defended by their training, by name."""
    prunings: dict[str, PruneMethod] = field(default_factory=lambda: {PRUNED: "l2"})
    """Runs that prune the run with-block, by name."""
    prune: float = 0.1
    """Share that they prune."""
    fine_tune_epochs: float = 1
    fine_tune_rate: float = 1e-5
    """Epochs and Adam rate of the fine-tuning after pruning (paper: 5 epochs at 1e-6)."""
    attacks: tuple[SuiteAttack, ...] = (
        SuiteAttack("pgd", settings={"steps": 1}),
        SuiteAttack("pgd", settings={"steps": 8}),
    )
    attack_photos: int | None = 64
    """Test photos that are attacked, evenly spaced over the test set, all where None; accuracy is over all of it."""
    fit_photos: int = 0
    """Training photos that universal perturbations are fitted on."""
    batch_size: int = 8
    """Most images a call of an attack."""


def variants(study: StudyConfig, workdir: Path = Path("runs")) -> dict[str, TrainConfig]:
    """The runs of a study, by name, in the order of training: a pruned run starts from the weights of another."""

    def run(name: str, model: ModelSpec, **changes: Any) -> TrainConfig:
        start = study.base.block_start if model.block is None else "projection"
        own = {"name": name, "model": model, "block_start": start, "workdir": workdir / name}
        return dataclasses.replace(study.base, **{**own, **changes})

    base = run(BASE, study.base.model)
    with_block = run(BLOCK, dataclasses.replace(base.model, block=study.block))
    runs = [base, with_block]
    for name, method in study.prunings.items():
        runs.append(
            run(
                name,
                with_block.model,
                prune=study.prune,
                prune_method=method,
                start_from=with_block.workdir,
                epochs=study.fine_tune_epochs,
                steps=None,
                cache_frozen=False,  # pruning changes the frozen layers too: their maps would be made for one short run
                learning_rate=study.fine_tune_rate,
            )
        )
    for name, defense in study.defenses.items():
        own = study.block if defense.block is True else defense.block or None
        trained = base if own is None else with_block
        start: dict[str, Any] = {"start_from": trained.workdir, "head_epochs": 0} if defense.from_trained else {}
        if own is not None:
            start["block_start"] = defense.block_start
        shared = ("gradient_norm", "adversarial", "consistency", "prune")
        settings = {setting: getattr(defense, setting) for setting in shared}
        runs.append(run(name, dataclasses.replace(base.model, block=own), cache_frozen=False, **settings, **start))
    for name, block in study.positions.items():
        runs.append(run(f"{BLOCK}-{name}", dataclasses.replace(base.model, block=block), cache_frozen=False))
    for name, model in study.others.items():
        runs.append(run(name, dataclasses.replace(model, block=None)))
        runs.append(run(f"{name}-{BLOCK}", dataclasses.replace(model, block=study.block)))
    return {run.name: run for run in runs}


def evaluation(study: StudyConfig, workdir: Path) -> SuiteConfig:
    """The evaluation of a study's runs on its test photos, in which every model has its own undefended one."""
    photos = SuiteData(study.base.data, study.base.test_group, study.attack_photos, study.fit_photos)
    return SuiteConfig(
        models={name: str(run.workdir) for name, run in variants(study, workdir).items()},
        data={study.base.data: photos},
        attacks=study.attacks,
        seed=study.base.seed,
        batch_size=study.batch_size,
        baselines={variant: name for name in study.others for variant in (name, f"{name}-{BLOCK}")},
    )
