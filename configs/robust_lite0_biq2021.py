"""Second step of the recipe of robust-lite0: consistency training on BIQ2021, from `accurate_lite0_biq2021`.

    riqa train robust_lite0_biq2021 --data DIR_OF_BIQ2021

A perturbation of a whole photo is, at half its size, one that is no larger: its pixels are weighed means. The weights
of the last step are the model, not those of the best SROCC on the validation photos, which are the least defended.
"""

import dataclasses
from pathlib import Path

from robust_iqa_jax.configs import accurate_lite0_biq2021
from robust_iqa_jax.defenses.consistency import ConsistencyConfig
from robust_iqa_jax.training.config import TrainConfig


def get_config() -> TrainConfig:
    """All layers, scores of attacked photos held at those of the clean ones."""
    return dataclasses.replace(
        accurate_lite0_biq2021.get_config(),
        name="robust_lite0_biq2021",
        start_from=Path("runs/accurate_lite0_biq2021"),
        head_epochs=0,
        steps=1400,
        consistency=ConsistencyConfig(beta=0.5, ramp=0.1),
    )
