"""LinearityIQA over EfficientNet-Lite0 on LIVE In the Wild, one fold of five.

    riqa train configs/clive_lite0.py --data DIR/scores.csv --test-group 0 --workdir runs/clive_lite0_fold0
"""

from robust_iqa_jax.models.spec import ModelSpec
from robust_iqa_jax.training.config import TrainConfig


def get_config() -> TrainConfig:
    """The undefended model."""
    return TrainConfig(
        name="clive_lite0",
        model=ModelSpec(input_size=(320, 320)),
        data="clive/scores.csv",
        test_group="0",
        epochs=8,
        batch_size=8,
        learning_rate=1e-3,
    )
