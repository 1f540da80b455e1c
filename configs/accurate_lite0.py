"""The undefended model that ships, accurate-lite0: BIQ2021 and CLIVE together, at 320x320.

    riqa train accurate_lite0_start --data DIR_OF_BIQ2021
    riqa train accurate_lite0 --data DIR_OF_BIQ2021 --also DIR_OF_CLIVE/scores.csv

CLIVE's fold 0 is in no training. Its scores are brought to BIQ2021's scale by a line that was fitted between the
start's scores of them and people's.
Expected: SROCC .828 on BIQ2021's 1,000 validation photos, .813 on the 176 of CLIVE's fold 0; 25 minutes on one core
after the start's forty.
"""

import dataclasses
from pathlib import Path

from robust_iqa_jax.configs import accurate_lite0_start
from robust_iqa_jax.models.spec import ModelSpec
from robust_iqa_jax.training.config import TrainConfig


def get_config() -> TrainConfig:
    """All layers; CLIVE's photos five times an epoch, about a quarter of each batch."""
    return dataclasses.replace(
        accurate_lite0_start.get_config(),
        name="accurate_lite0",
        model=ModelSpec(input_size=(320, 320)),
        start_from=Path("runs/accurate_lite0_start"),
        also=("clive/scores.csv",),
        also_test_groups=("0",),
        also_lines=((0.873, 14.87),),
        also_times=(5,),
        head_epochs=0,
        steps=1100,
        warmup=50,
        crop=224,
        validate_every=None,
    )
