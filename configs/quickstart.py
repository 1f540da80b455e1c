"""riqa quickstart: three small models on the embedded photos, attacked, in minutes on two cores and with no download.

    riqa quickstart

Its labels are pseudo_mos, computed by a formula: it shows that everything works, not how well people are predicted.
"""

from robust_iqa_jax.models.spec import BlockSpec, ModelSpec
from robust_iqa_jax.study import StudyConfig
from robust_iqa_jax.training.config import TrainConfig


def get_config() -> StudyConfig:
    """The quickstart study."""
    return StudyConfig(
        base=TrainConfig(
            model=ModelSpec(input_size=(160, 160)),
            data="distorted-photos",
            test_group="test",
            steps=160,
            batch_size=16,
            learning_rate=1e-3,
        ),
        block=BlockSpec(at="stage5", mid_channels=64),
        fine_tune_epochs=0.25,
        attack_photos=32,
    )
