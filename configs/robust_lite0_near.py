"""Between `robust_lite0_taught` and `robust_lite0`: trained on, against small steps from the photo as well.

    riqa train accurate_lite0_start --data DIR_OF_BIQ2021
    riqa train accurate_lite0 --data DIR_OF_BIQ2021 --also DIR_OF_CLIVE/scores.csv
    riqa train robust_lite0_start --data DIR_OF_BIQ2021
    riqa train robust_lite0_both --data DIR_OF_BIQ2021 --also DIR_OF_CLIVE/scores.csv
    riqa train robust_lite0_clive --data DIR_OF_BIQ2021 --also DIR_OF_CLIVE/scores.csv
    riqa train robust_lite0_taught --data DIR_OF_BIQ2021 --also DIR_OF_CLIVE/scores.csv
    riqa train robust_lite0_near --data DIR_OF_BIQ2021 --also DIR_OF_CLIVE/scores.csv

Each photo has a ball of its own, between a quarter of eps and eps, and half of the attacks start at the photo. At
256x256, which costs no accuracy and less time. CLIVE's fold 0 is in no training. The weights of the last step are the
model.
Expected: SROCC .761 on 250 of BIQ2021's validation photos, .746 on the 176 of CLIVE's fold 0; MI-FGSM-20 in steps of
eps/20 at 4/255 moves the scores of 8 of the former by .20 and -.29 of their range on average, with 100 steps by .29 and
-.43; 50 minutes on two cores after the others' 485 on one.
"""

import dataclasses
from pathlib import Path

from robust_iqa_jax.configs import robust_lite0_taught
from robust_iqa_jax.defenses.consistency import ConsistencyConfig
from robust_iqa_jax.models.spec import ModelSpec
from robust_iqa_jax.training.config import TrainConfig


def get_config() -> TrainConfig:
    """All layers; three steps of attack, near the photo and far from it."""
    return dataclasses.replace(
        robust_lite0_taught.get_config(),
        name="robust_lite0_near",
        model=ModelSpec(input_size=(256, 256)),
        start_from=Path("runs/robust_lite0_taught"),
        also_times=(8,),
        steps=1200,
        crop=192,
        consistency=ConsistencyConfig(beta=0.7, steps=3, smallest_radius=0.25, at_photo=0.5, ramp=0.02),
    )
