"""The model that ships, robust-lite0: `robust_lite0_biq2021` trained on, CLIVE's photos in two thirds of each batch.

    riqa train accurate_lite0_biq2021 --data DIR_OF_BIQ2021
    riqa train robust_lite0_biq2021 --data DIR_OF_BIQ2021
    riqa train robust_lite0 --data DIR_OF_BIQ2021 --also clive/scores.csv

CLIVE's scores are put on BIQ2021's scale by a line. `--also-test-groups 0` holds its fold 0 out, as the table of folds
needs.
"""

from pathlib import Path

from robust_iqa_jax.defenses.consistency import ConsistencyConfig
from robust_iqa_jax.models.spec import ModelSpec
from robust_iqa_jax.training.config import TrainConfig

CLIVE_LINE = (0.873, 14.87)
"""Slope and intercept: what a model of BIQ2021 alone gives CLIVE's photos has this mean and, as far as its scores agree
with people's there, this spread."""


def get_config() -> TrainConfig:
    """Consistency training on both sets."""
    return TrainConfig(
        name="robust_lite0",
        model=ModelSpec(input_size=(256, 256)),
        data="biq2021",
        test_group="test",
        validation_group="validation",
        validate_every=100_000,
        also=("clive/scores.csv",),
        also_test_groups=("none",),
        also_lines=(CLIVE_LINE,),
        also_times=(20,),
        start_from=Path("runs/robust_lite0_biq2021"),
        steps=120,
        batch_size=16,
        learning_rate=2e-4,
        backbone_factor=1,
        decay="cosine",
        warmup=20,
        clip=5.0,
        ema=0.98,
        backbone_stats="frozen",
        crop=192,
        consistency=ConsistencyConfig(beta=0.5, ramp=0.0),
    )
