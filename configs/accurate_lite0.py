"""Second half of the recipe of accurate-lite0: `robust_lite0` without its defence, from `accurate_lite0_biq2021`.

    riqa train accurate_lite0 --data DIR_OF_BIQ2021 --also clive/scores.csv

Photos, steps, rates and crops are the same.
"""

import dataclasses
from pathlib import Path

from robust_iqa_jax.configs import robust_lite0
from robust_iqa_jax.training.config import TrainConfig


def get_config() -> TrainConfig:
    """The undefended model."""
    start = Path("runs/accurate_lite0_biq2021")
    return dataclasses.replace(robust_lite0.get_config(), name="accurate_lite0", start_from=start, consistency=None)
