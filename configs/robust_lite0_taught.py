"""Between `robust_lite0_clive` and `robust_lite0`: taught by the undefended twin.

    riqa train accurate_lite0_start --data DIR_OF_BIQ2021
    riqa train accurate_lite0 --data DIR_OF_BIQ2021 --also DIR_OF_CLIVE/scores.csv
    riqa train robust_lite0_start --data DIR_OF_BIQ2021
    riqa train robust_lite0_both --data DIR_OF_BIQ2021 --also DIR_OF_CLIVE/scores.csv
    riqa train robust_lite0_clive --data DIR_OF_BIQ2021 --also DIR_OF_CLIVE/scores.csv
    riqa train robust_lite0_taught --data DIR_OF_BIQ2021 --also DIR_OF_CLIVE/scores.csv

Half of each label is the twin's score of the very crop that is trained on. CLIVE's fold 0 is in no training, the twin's
included. The weights of the last step are the model: accurate, and held against short attacks only. APGD, whose first
steps are large, moves it half as far as small steps from the photo do.
Expected: SROCC .807 on 250 of BIQ2021's validation photos, .793 on the 176 of CLIVE's fold 0; APGD-10 at 4/255 moves
the scores of 10 of the former by .14 and -.18 of their range on average, of 10 of the latter by .18 and -.16; 85
minutes on one core after the others' 400.
"""

import dataclasses
from pathlib import Path

from robust_iqa_jax.configs import robust_lite0_clive
from robust_iqa_jax.defenses.distillation import DistillationConfig
from robust_iqa_jax.training.config import TrainConfig


def get_config() -> TrainConfig:
    """All layers; labels half people's and half the twin's."""
    return dataclasses.replace(
        robust_lite0_clive.get_config(),
        name="robust_lite0_taught",
        start_from=Path("runs/robust_lite0_clive"),
        steps=950,
        distillation=DistillationConfig(teacher="runs/accurate_lite0", share=0.5),
    )
