"""Between `robust_lite0_start` and `robust_lite0_clive`: consistency training on BIQ2021 and CLIVE, at 320x320.

    riqa train accurate_lite0_start --data DIR_OF_BIQ2021
    riqa train robust_lite0_start --data DIR_OF_BIQ2021
    riqa train robust_lite0_both --data DIR_OF_BIQ2021 --also DIR_OF_CLIVE/scores.csv

Data and size are those of `accurate_lite0`. A perturbation of a whole photo is, at a smaller size, one that is no
larger: its pixels are weighed means. The weights of the last step are the model, not those of the best SROCC on the
validation photos, which are the least defended.
Expected: SROCC .780 on BIQ2021's 1,000 validation photos, .714 on the 176 of CLIVE's fold 0; APGD-10 at 4/255 moves the
scores of 8 of the former by .20 and -.18 of their range on average; 110 minutes on one core after the start's 140.
"""

import dataclasses
from pathlib import Path

from robust_iqa_jax.configs import accurate_lite0
from robust_iqa_jax.defenses.consistency import ConsistencyConfig
from robust_iqa_jax.training.config import TrainConfig


def get_config() -> TrainConfig:
    """All layers, scores of attacked photos held at those of the clean ones."""
    return dataclasses.replace(
        accurate_lite0.get_config(),
        name="robust_lite0_both",
        start_from=Path("runs/robust_lite0_start"),
        steps=1250,
        consistency=ConsistencyConfig(beta=0.5, ramp=0.05),
    )
