"""Does the RobustBlock add anything once the training is right? arXiv 2506.04951's block, its rivals and consistency
training, on one budget.

    riqa study architecture_question --data DIR/scores.csv --test-group 0 --out runs/architecture_question

All runs go on from accurate-lite0, in whose training fold 0 of LIVE In the Wild had no part, for 150 steps on the other
folds: undefended ("base"), with the block, with NT, with the published AT, with consistency training, and with that and
the block: started as a projection, at random, pruned, and at the two places before it. Photos are shrunk to 128x128,
which hides much of what people judge: compare within this study only.
"""

from pathlib import Path

from robust_iqa_jax.configs import clive_lite0_nt
from robust_iqa_jax.defenses.adversarial_training import AdversarialConfig
from robust_iqa_jax.defenses.consistency import ConsistencyConfig
from robust_iqa_jax.evaluation.suite import SuiteAttack
from robust_iqa_jax.models.shipped import UNDEFENDED
from robust_iqa_jax.models.spec import BlockSpec, ModelSpec
from robust_iqa_jax.study import Defense, StudyConfig
from robust_iqa_jax.training.config import TrainConfig

EPS = (4 / 255,)


def get_config() -> StudyConfig:
    """The study; each block keeps six of seven channels of its map."""
    consistency = ConsistencyConfig(beta=0.5, ramp=0.1)
    return StudyConfig(
        base=TrainConfig(
            model=ModelSpec(input_size=(128, 128)),
            data="clive/scores.csv",
            test_group="0",
            start_from=Path(UNDEFENDED),
            steps=150,
            batch_size=16,
            learning_rate=3e-4,
            backbone_factor=1,
            decay="cosine",
            warmup=15,
            clip=5.0,
            ema=0.99,
            backbone_stats="frozen",
            crop=96,
        ),
        prunings={},
        defenses={
            "nt": Defense(gradient_norm=clive_lite0_nt.get_config().gradient_norm),
            "at": Defense(adversarial=AdversarialConfig()),
            "consistency": Defense(consistency=consistency),
            "with-block-consistency": Defense(consistency=consistency, block=True),
            "with-block-random-consistency": Defense(consistency=consistency, block=True, block_start="random"),
            "with-block-pruned-consistency": Defense(consistency=consistency, block=True, prune=0.1),
            "with-block-5-consistency": Defense(consistency=consistency, block=BlockSpec("stage4", 69)),
            "with-block-4-consistency": Defense(consistency=consistency, block=BlockSpec("stage3", 34)),
        },
        attacks=(
            SuiteAttack("pgd", EPS, {"steps": 8}),
            SuiteAttack("apgd", EPS, {"steps": 20}),
            SuiteAttack("apgd", EPS, {"steps": 20, "direction": "lower"}),
        ),
        attack_photos=88,
        batch_size=16,
    )
