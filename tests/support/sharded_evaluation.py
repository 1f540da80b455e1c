"""The same evaluation on one device and shared by all, for test_devices.py to compare; in float64, since signs of
gradients turn a float32 rounding into a step.

python tests/support/sharded_evaluation.py OUT.json
"""

import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import tiny_backbone
from quick_models import random_variables

import robust_iqa_jax as riqa
from robust_iqa_jax.devices import local_devices
from robust_iqa_jax.models.registry import build
from robust_iqa_jax.models.scorer import Calibration, Scorer
from robust_iqa_jax.models.spec import BlockSpec, ModelSpec

SPEC = ModelSpec(
    backbone="tiny", taps=("first", "second"), input_size=(32, 32), block=BlockSpec(at="first", mid_channels=4)
)


def main(out):
    images = jnp.asarray(np.random.default_rng(0).uniform(0, 1, (11, 32, 32, 3)))
    attacks = [
        riqa.attacks.pgd(eps=0.02, steps=2),
        riqa.attacks.apgd(eps=0.02, steps=2),
        riqa.attacks.square(eps=0.02, queries=5),
    ]
    with tiny_backbone.registered():
        variables = jax.tree.map(
            lambda leaf: jnp.asarray(leaf, jnp.float64), random_variables(build(SPEC), (1, 32, 32, 3))
        )
        scorer = Scorer(variables, Calibration.identity(), SPEC).prepare()
        rows = {
            count: riqa.evaluate(scorer, images, attacks=attacks, batch_size=1, devices=count).per_image
            for count in (1, "all")
        }
        placed = local_devices("all")
        keys = jax.random.split(jax.random.key(0), 8)
        adversarial = attacks[0](placed.copies(scorer), placed.parts(keys), placed.parts(images[:8]))
        shards = [list(shard.data.shape) for shard in adversarial.addressable_shards]
    Path(out).write_text(json.dumps({"rows": rows, "shards": shards}))


if __name__ == "__main__":
    main(sys.argv[1])
