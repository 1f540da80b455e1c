"""koniq_tres.py with gradient-norm regularisation (NT) as the paper's authors ran it.

    riqa train koniq_tres_nt --data DIR

Step and gradient in normalised pixels, with batch statistics (docs/sources.md 3.1, A-TReS).
Published: SROCC .887, PLCC .901.
"""

import dataclasses

from robust_iqa_jax.configs import koniq_tres
from robust_iqa_jax.defenses.gradient_norm import PRESETS
from robust_iqa_jax.training.config import TrainConfig


def get_config() -> TrainConfig:
    """The regularised model."""
    return dataclasses.replace(koniq_tres.get_config(), name="tres-nt", gradient_norm=PRESETS["tres"])
