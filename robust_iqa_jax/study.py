"""A study: the same run without and with the RobustBlock, and pruned, trained alike and attacked alike.
The comparison of arXiv 2506.04951, table 2 ("+our" is RobustBlock 6 with 10 % of the filters pruned)."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

from robust_iqa_jax.models.spec import BlockSpec
from robust_iqa_jax.training.config import TrainConfig

BASE, ROBUST, PRUNED = "base", "robust", "robust-pruned"

EPS = tuple(k / 255 for k in (2, 4, 6, 8, 10))
"""Attack sizes of the paper, in [0,1] pixels."""


@dataclass(frozen=True)
class StudyConfig:
    """What a study trains and how strongly it attacks."""

    base: TrainConfig = field(default_factory=TrainConfig)
    """The undefended run; the others differ from it only in what their name says."""
    block: BlockSpec = field(default_factory=BlockSpec)
    prune: float = 0.1
    fine_tune_epochs: float = 1
    fine_tune_rate: float = 1e-5
    """Epochs and Adam rate of the fine-tuning after pruning (paper: 5 epochs at 1e-6)."""
    attack_steps: tuple[int, ...] = (1, 8)
    """PGD iterations, one attack for each."""
    attack_photos: int = 64
    """Test photos that are attacked, evenly spaced over the test set; accuracy is over all of it."""


def variants(study: StudyConfig, workdir: Path = Path("runs")) -> dict[str, TrainConfig]:
    """The three runs of a study, by name; each needs the one before it only for its weights."""
    base = dataclasses.replace(study.base, name=BASE, workdir=workdir / BASE)
    with_block = dataclasses.replace(base.model, block=study.block)
    robust = dataclasses.replace(
        base, name=ROBUST, model=with_block, block_start="projection", workdir=workdir / ROBUST
    )
    pruned = dataclasses.replace(
        robust,
        name=PRUNED,
        prune=study.prune,
        start_from=robust.workdir,
        epochs=study.fine_tune_epochs,
        steps=None,
        cache_frozen=False,  # pruning changes the frozen layers too: their maps would be made for one short run
        learning_rate=study.fine_tune_rate,
        workdir=workdir / PRUNED,
    )
    return {run.name: run for run in (base, robust, pruned)}
