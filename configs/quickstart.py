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
            model=ModelSpec(input_size=(224, 224)),
            data="distorted-photos",
            test_group="test",
            head_epochs=20,
            steps=15,
            batch_size=64,
            learning_rate=3e-5,  # a new block wants small steps; at 3e-4 it loses .1 of SROCC in so few of them
            decay="cosine",
            train_from="stage6",
            backbone_stats="frozen",
            cache_frozen=True,
        ),
        block=BlockSpec(),
        fine_tune_epochs=0.3,
        fine_tune_rate=1e-4,
        attack_photos=12,
    )
