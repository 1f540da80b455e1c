"""LIVE In the Wild without and with the RobustBlock, and pruned: what benchmarks/clive_folds.py runs on each fold.

python -m robust_iqa_jax.benchmarks.clive_folds --data DIR/scores.csv --out runs/clive --results benchmarks/results
"""

from robust_iqa_jax.configs import clive_lite0
from robust_iqa_jax.models.spec import BlockSpec
from robust_iqa_jax.study import StudyConfig


def get_config() -> StudyConfig:
    """The study."""
    return StudyConfig(
        base=clive_lite0.get_config(),
        block=BlockSpec(),
        fine_tune_epochs=0.5,
        fine_tune_rate=1e-4,
        attack_photos=6,
    )
