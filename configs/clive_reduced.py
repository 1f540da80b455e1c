"""Positions of the RobustBlock and three backbones on one fold of LIVE In the Wild, small enough for two CPU cores.

    riqa study clive_reduced --data DIR/scores.csv --test-group 0 --out runs/clive_reduced

The places are those of arXiv 2506.04951, table 1, carried over to EfficientNet-Lite0: 1 the normalised image, 2 behind
the stem, 4 the map of stride 8 in the middle of the network, 6 the map of stride 16 that the head reads first (the run
"with-block"). Each keeps six of seven channels of its map, as 6 does, so that only the place differs; 1 keeps all
three.
The three models are LinearityIQA over EfficientNet-Lite0, 1 and 2 (extra "lite"), because no package that can be
installed carries the ImageNet weights of KonCept512's and TReS's backbones; each is measured against its own
undefended one. Photos are shrunk to 160x160, which hides much of what people judge: compare within this study only.
"""

from robust_iqa_jax.evaluation.suite import SuiteAttack
from robust_iqa_jax.models.spec import BlockSpec, ModelSpec
from robust_iqa_jax.study import StudyConfig
from robust_iqa_jax.training.config import TrainConfig

SIZE = (160, 160)
EPS = (2 / 255, 4 / 255, 8 / 255)


def get_config() -> StudyConfig:
    """The study."""
    return StudyConfig(
        base=TrainConfig(
            model=ModelSpec(input_size=SIZE),
            data="clive/scores.csv",
            test_group="0",
            head_epochs=20,
            epochs=2,
            batch_size=32,
            learning_rate=1e-4,
            decay="cosine",
            train_from="stage6",
            backbone_stats="frozen",
            cache_frozen=True,
        ),
        block=BlockSpec(),
        positions={
            "1": BlockSpec("input", 3),
            "2": BlockSpec("stem", 27),
            "4": BlockSpec("stage3", 34),
        },
        others={
            "lite1": ModelSpec(backbone="efficientnet_lite1", input_size=SIZE),
            "lite2": ModelSpec(backbone="efficientnet_lite2", input_size=SIZE),
        },
        fine_tune_epochs=0.5,
        fine_tune_rate=1e-4,
        attacks=(
            SuiteAttack("pgd", EPS, {"steps": 1}),
            SuiteAttack("pgd", EPS, {"steps": 8}),
            SuiteAttack("suite", (4 / 255,), {"steps": 10, "restarts": 1, "queries": 50}),
        ),
        attack_photos=16,
        batch_size=16,
    )
