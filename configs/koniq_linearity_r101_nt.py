"""koniq_linearity_r101.py with gradient-norm regularisation (NT) as the paper's authors ran it.

    riqa train koniq_linearity_r101_nt --data DIR

The penalty is of raw outputs, in normalised pixels, with batch statistics (docs/sources.md 3.1, A-Lin). Norm-in-norm
leaves the outputs' scale free, so that shrinking them lowers it too; gradient_norm.relative closes that way.
Published: SROCC .904, PLCC .921.
"""

import dataclasses

from robust_iqa_jax.configs import koniq_linearity_r101
from robust_iqa_jax.defenses.gradient_norm import PRESETS
from robust_iqa_jax.training.config import TrainConfig


def get_config() -> TrainConfig:
    """The regularised model."""
    return dataclasses.replace(
        koniq_linearity_r101.get_config(), name="linearity-resnet101-nt", gradient_norm=PRESETS["linearity"]
    )
