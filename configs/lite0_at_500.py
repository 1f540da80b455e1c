"""Second stage: from `lite0_at_256`, crops of whole-size photos, with CLIVE's beside BIQ2021's.

    riqa train lite0_at_500 --data DIR_OF_BIQ2021

CLIVE's scores are put on BIQ2021's scale by the line between the scores that one model gives both sets' photos. Fold 0
of CLIVE is in no stage.
Expected: SROCC .802 on BIQ2021's 1,000 validation photos, .752 on CLIVE's fold 0 (.786 at 384x384).
"""

import dataclasses
from pathlib import Path

from robust_iqa_jax.configs import lite0_at_256
from robust_iqa_jax.models.spec import ModelSpec
from robust_iqa_jax.training.config import TrainConfig


def get_config() -> TrainConfig:
    """All layers, two data sets, a third of each batch from CLIVE."""
    return dataclasses.replace(
        lite0_at_256.get_config(),
        name="lite0_at_500",
        model=ModelSpec(input_size=(500, 500)),
        also=("clive/scores.csv",),
        also_test_groups=("0",),
        also_lines=((0.873, 14.87),),
        also_times=(6,),
        start_from=Path("runs/lite0_at_256"),
        head_epochs=0,
        steps=1000,
        crop=224,
    )
