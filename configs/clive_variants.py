"""Every defence of arXiv 2506.04951, table 2, on LIVE In the Wild, small enough for two CPU cores.

    python -m robust_iqa_jax.benchmarks.clive_folds --study clive_variants --data DIR/scores.csv --out runs/variants

base, NT, AT, the RobustBlock, the RobustBlock pruned in five ways, and the RobustBlock with NT: LinearityIQA over
EfficientNet-Lite0, all with the same photos, batches, rates and epochs, and no kept maps, so that the seconds of their
steps compare. AT starts from the finished base, as published. Photos are shrunk to 160x160, which hides much of what
people judge: compare within this study only.
"""

import dataclasses

from robust_iqa_jax.configs import clive_lite0_nt, clive_reduced
from robust_iqa_jax.defenses.adversarial_training import AdversarialConfig
from robust_iqa_jax.study import Defense, StudyConfig


def get_config() -> StudyConfig:
    """The study."""
    study = clive_reduced.get_config()
    gradient_norm = clive_lite0_nt.get_config().gradient_norm
    return dataclasses.replace(
        study,
        base=dataclasses.replace(study.base, cache_frozen=False),
        positions={},
        others={},
        prunings={f"with-block-{method}": method for method in ("l1", "l2", "pls", "displs", "hsic")},
        defenses={
            "nt": Defense(gradient_norm=gradient_norm),
            "at": Defense(adversarial=AdversarialConfig(), from_trained=True),
            "with-block-nt": Defense(gradient_norm=gradient_norm, block=True),
        },
        attack_photos=10,
    )
