"""What robust-lite0 starts from: consistency training on BIQ2021, from `accurate_lite0_start`.

    riqa train accurate_lite0_start --data DIR_OF_BIQ2021
    riqa train robust_lite0_start --data DIR_OF_BIQ2021

A perturbation of a whole photo is, at half its size, one that is no larger: its pixels are weighed means. The weights
of the last step are the model, not those of the best SROCC on the validation photos, which are the least defended.
Expected: SROCC .792 on the 1,000 validation photos; APGD-10 at 4/255 moves the scores of 16 of them by .18 and -.13 of
the range on average; 100 minutes on one core.
"""

import dataclasses
from pathlib import Path

from robust_iqa_jax.configs import accurate_lite0_start
from robust_iqa_jax.defenses.consistency import ConsistencyConfig
from robust_iqa_jax.training.config import TrainConfig


def get_config() -> TrainConfig:
    """All layers, scores of attacked photos held at those of the clean ones."""
    return dataclasses.replace(
        accurate_lite0_start.get_config(),
        name="robust_lite0_start",
        start_from=Path("runs/accurate_lite0_start"),
        head_epochs=0,
        steps=1400,
        consistency=ConsistencyConfig(beta=0.5, ramp=0.1),
    )
