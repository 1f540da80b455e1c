"""LinearityIQA over EfficientNet-Lite0 on LIVE In the Wild, one fold of five.

    riqa train clive_lite0 --data DIR/scores.csv --test-group 0 --workdir runs/clive_lite0_fold0

Photos keep their own resolution: shrinking them hides what people judge (ridge regression on frozen features: SROCC .68
at 224x224, .73 at 320x320, .78 at 500x500). Layers up to stage5 stay as ImageNet made them, so that their maps are
computed once. The head is fitted first (alone it gives .82); then the later stages are trained with it on whole photos,
at a rate high enough to lose accuracy for an epoch (fold 3: .821, .771 after two of six epochs, .844 at the end); at a
quarter of that rate nothing is gained, at twice it much is lost.
Expected: SROCC .844, .856, .840, .818, .785 on folds 0 to 4, mean .829 (benchmarks/clive_folds.py).
"""

from robust_iqa_jax.models.spec import ModelSpec
from robust_iqa_jax.training.config import TrainConfig


def get_config() -> TrainConfig:
    """The undefended model."""
    return TrainConfig(
        name="clive_lite0",
        model=ModelSpec(input_size=(500, 500)),
        data="clive/scores.csv",
        test_group="0",
        head_epochs=20,
        epochs=5,
        batch_size=32,
        learning_rate=2e-4,
        backbone_factor=2,
        decay="cosine",
        train_from="stage6",
        backbone_stats="frozen",
        cache_frozen=True,
    )
