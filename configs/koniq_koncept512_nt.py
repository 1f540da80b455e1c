"""koniq_koncept512.py with gradient-norm regularisation (NT) as the paper's authors ran it.

    riqa train koniq_koncept512_nt --data DIR

Step and gradient in [0,1] pixels, with batch statistics (docs/sources.md 3.1, A-Kon).
Published: SROCC .794, PLCC .808.
"""

import dataclasses

from robust_iqa_jax.configs import koniq_koncept512
from robust_iqa_jax.defenses.gradient_norm import PRESETS
from robust_iqa_jax.training.config import TrainConfig


def get_config() -> TrainConfig:
    """The regularised model."""
    return dataclasses.replace(koniq_koncept512.get_config(), name="koncept512-nt", gradient_norm=PRESETS["koncept512"])
