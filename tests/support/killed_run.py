"""A small run that others kill: on the devices at hand, each step long enough to be hit.

python tests/support/killed_run.py TABLE WORKDIR MODE [COORDINATOR PROCESSES PROCESS]

Ends with status 143 where it was told to end and has saved its steps.
"""

import sys
import time
from pathlib import Path

import jax
import tiny_backbone

from robust_iqa_jax.data.open import open_photos, split_photos
from robust_iqa_jax.models.spec import BlockSpec, ModelSpec
from robust_iqa_jax.training.config import TrainConfig
from robust_iqa_jax.training.loop import train
from robust_iqa_jax.training.termination import Terminated

SPEC = ModelSpec(
    backbone="tiny", taps=("first", "second"), input_size=(32, 32), block=BlockSpec(at="first", mid_channels=4)
)
STEPS = 60


def main(table, workdir, mode, *distributed):
    if distributed:
        coordinator, processes, process = distributed
        jax.distributed.initialize(coordinator, int(processes), int(process))
    config = TrainConfig(
        model=SPEC, batch_size=8, steps=STEPS, accumulate=2, ema=0.9, prune=0.1, checkpoint_every=2, parallel=mode
    )
    with tiny_backbone.registered():
        photos, _ = split_photos(open_photos(table), "test")
        try:
            train(config, photos, Path(workdir), lambda *_: time.sleep(0.05))
        except Terminated as ended:
            print(ended)
            sys.exit(143)


if __name__ == "__main__":
    main(*sys.argv[1:])
