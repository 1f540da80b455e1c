"""The model of clive_lite0.py with a RobustBlock after its first tap.

riqa train clive_lite0_robust --data DIR/scores.csv --test-group 0 --workdir runs/clive_robust_fold0

Expected: SROCC .832, .851, .840, .846, .812 on folds 0 to 4, mean .836 (benchmarks/clive_folds.py).
"""

import dataclasses

from robust_iqa_jax.configs import clive_study
from robust_iqa_jax.study import BLOCK, variants
from robust_iqa_jax.training.config import TrainConfig


def get_config() -> TrainConfig:
    """The defended model of the study."""
    study = clive_study.get_config()
    return dataclasses.replace(variants(study)[BLOCK], name="clive_lite0_robust", workdir=None)
