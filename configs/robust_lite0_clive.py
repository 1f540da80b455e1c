"""Between `robust_lite0_both` and `robust_lite0`: CLIVE in half of each batch.

    riqa train accurate_lite0_start --data DIR_OF_BIQ2021
    riqa train robust_lite0_start --data DIR_OF_BIQ2021
    riqa train robust_lite0_both --data DIR_OF_BIQ2021 --also DIR_OF_CLIVE/scores.csv
    riqa train robust_lite0_clive --data DIR_OF_BIQ2021 --also DIR_OF_CLIVE/scores.csv

CLIVE's fold 0 is in no training. The weights of the last step are the model.
Expected: SROCC .777 on 250 of BIQ2021's validation photos, .775 on the 176 of CLIVE's fold 0; APGD-10 at 4/255 moves
the scores of 10 of the former by .12 and -.17 of their range on average, of 10 of the latter by .18 and -.19; 90
minutes on one core after the others' 290.
"""

import dataclasses
from pathlib import Path

from robust_iqa_jax.configs import robust_lite0_both
from robust_iqa_jax.defenses.consistency import ConsistencyConfig
from robust_iqa_jax.training.config import TrainConfig


def get_config() -> TrainConfig:
    """All layers; CLIVE's photos twelve times an epoch."""
    return dataclasses.replace(
        robust_lite0_both.get_config(),
        name="robust_lite0_clive",
        start_from=Path("runs/robust_lite0_both"),
        also_times=(12,),
        steps=1050,
        consistency=ConsistencyConfig(beta=0.4, ramp=0.02),
    )
