"""The model that ships as the default, robust-lite0: `robust_lite0_near` trained on for twice as long.

    riqa train accurate_lite0_start --data DIR_OF_BIQ2021
    riqa train accurate_lite0 --data DIR_OF_BIQ2021 --also DIR_OF_CLIVE/scores.csv
    riqa train robust_lite0_start --data DIR_OF_BIQ2021
    riqa train robust_lite0_both --data DIR_OF_BIQ2021 --also DIR_OF_CLIVE/scores.csv
    riqa train robust_lite0_clive --data DIR_OF_BIQ2021 --also DIR_OF_CLIVE/scores.csv
    riqa train robust_lite0_taught --data DIR_OF_BIQ2021 --also DIR_OF_CLIVE/scores.csv
    riqa train robust_lite0_near --data DIR_OF_BIQ2021 --also DIR_OF_CLIVE/scores.csv
    riqa train robust_lite0 --data DIR_OF_BIQ2021 --also DIR_OF_CLIVE/scores.csv

CLIVE's four folds are a little more of each batch; fold 0 is in no training. The weights of the last step are the
model. Those that ship started from `robust_lite0_near`'s as they shipped before, in half precision.
Expected: SROCC .775 on 250 of BIQ2021's validation photos, .774 on the 176 of CLIVE's fold 0; MI-FGSM-20 in steps of
eps/20 at 4/255 moves the scores of 8 of the former by .17 and -.19 of their range on average, with 100 steps by .24 and
-.32; 82 minutes on two cores after the others.
"""

import dataclasses
from pathlib import Path

from robust_iqa_jax.configs import robust_lite0_near
from robust_iqa_jax.training.config import TrainConfig


def get_config() -> TrainConfig:
    """All layers; the same attack."""
    return dataclasses.replace(
        robust_lite0_near.get_config(),
        name="robust_lite0",
        start_from=Path("runs/robust_lite0_near"),
        also_times=(10,),
        steps=2400,
    )
