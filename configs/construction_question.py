"""Which orthogonal convolution, for quality? Every construction in the same block at the same place, on rated photos.

    riqa study construction_question --data DIR/scores.csv --test-group 0 --out runs/construction_question

Photos, start and budget are those of `architecture_question`: 150 steps from accurate-lite0 at 128x128, undefended and
with consistency training. Every block starts at random: not all constructions can start as a projection.
"""

import dataclasses

from robust_iqa_jax.configs import architecture_question
from robust_iqa_jax.layers import CONVOLUTIONS
from robust_iqa_jax.models.spec import BlockSpec
from robust_iqa_jax.study import Defense, StudyConfig


def get_config() -> StudyConfig:
    """Runs "with-block-NAME" and "with-block-NAME-consistency"."""
    study = architecture_question.get_config()
    trained = {"": None, "-consistency": study.defenses["consistency"].consistency}
    blocks = {
        f"with-block-{name}{kind}": Defense(
            consistency=consistency, block=BlockSpec(convolution=name), block_start="random"
        )
        for kind, consistency in trained.items()
        for name in CONVOLUTIONS
    }
    return dataclasses.replace(study, defenses={"consistency": study.defenses["consistency"], **blocks})
