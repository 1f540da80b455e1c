"""The run that tests of training share, so that its programs are compiled once: over the backbone of tiny_backbone.py,
in two parts a batch, with a running average. The fixture `finished_run` is a folder of it."""

from robust_iqa_jax.models.spec import ModelSpec
from robust_iqa_jax.training.config import TrainConfig

SPEC = ModelSpec(backbone="tiny", taps=("first", "second"), input_size=(32, 32))
CONFIG = TrainConfig(
    model=SPEC,
    batch_size=4,
    steps=6,
    learning_rate=3e-3,
    backbone_factor=1,
    ema=0.5,
    accumulate=2,
    checkpoint_every=2,
    seed=1,
)
