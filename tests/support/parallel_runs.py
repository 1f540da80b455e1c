"""Twenty steps of some variants on the devices at hand, for test_parallel.py to compare; in float64, since signs of
gradients (in NT and AT) and kinks of the loss turn a float32 rounding into a step.

python tests/support/parallel_runs.py OUT.npz MODE VARIANT,... [COORDINATOR PROCESSES PROCESS]
"""

import dataclasses
import functools
import sys

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import optax
import tiny_backbone

from robust_iqa_jax.data.pipeline import crop_and_flip, training_batches
from robust_iqa_jax.defenses.adversarial_training import AdversarialConfig
from robust_iqa_jax.defenses.gradient_norm import GradientNormConfig
from robust_iqa_jax.models.registry import init
from robust_iqa_jax.models.spec import BlockSpec, ModelSpec
from robust_iqa_jax.training.config import TrainConfig
from robust_iqa_jax.training.run import resolve
from robust_iqa_jax.training.step import init_state, train_step

STEPS, BATCH, PHOTOS = 20, 16, 40
SPEC = ModelSpec(
    backbone="tiny", taps=("first", "second"), input_size=(32, 32), block=BlockSpec(at="first", mid_channels=4)
)
PLAIN = TrainConfig(model=SPEC, batch_size=BATCH, loss="squared")
NT = GradientNormConfig(weight=1e-2, relative=True, statistics="batch")
AT = AdversarialConfig(start="uniform", label_range=(0.0, 1.0), statistics="batch")
VARIANTS = {
    "plain": PLAIN,
    "NT": dataclasses.replace(PLAIN, gradient_norm=NT),
    "AT": dataclasses.replace(PLAIN, adversarial=AT),
    "norm-in-norm": dataclasses.replace(PLAIN, loss="norm-in-norm"),
    "accumulated": dataclasses.replace(PLAIN, loss="norm-in-norm", accumulate=2),
}


def photo(i):
    rng = np.random.default_rng(i)
    return np.uint8(127 + 127 * rng.uniform(0.1, 1) * rng.uniform(-1, 1, (32, 32, 3)))


def run(config, mode):
    """Losses of all steps and the last state's leaves by name."""
    # not Adam: it blows the rounding of gradients that are zero (biases in front of a normalisation) up to whole steps
    optimizer = optax.sgd(5e-4)
    scores = np.random.default_rng(0).uniform(0, 1, PHOTOS).astype(np.float32)
    resolved = resolve(dataclasses.replace(config, parallel=mode), scores)
    devices, resolved = resolved.devices, dataclasses.replace(resolved, optimizer=optimizer)
    batches = training_batches(photo, scores, BATCH, 0, crop_and_flip((32, 32), None, True), part=devices.part)
    step = devices.compile(functools.partial(train_step, resolved))
    with jax.enable_x64(False):
        drawn = jax.jit(init, static_argnums=0)(SPEC, jax.random.key(0))
    variables = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf), jnp.float64), drawn)
    state, losses = devices.copies(init_state(variables, optimizer, {})), []
    for _ in range(STEPS):
        batch = next(batches)
        state, metrics = step(state, devices.parts(batch["inputs"]), devices.parts(batch["scores"]))
        losses.append(float(devices.one(metrics)["loss"]))
    last = devices.one(state)
    leaves = flax.traverse_util.flatten_dict({"params": last.params, "batch_stats": last.batch_stats}, sep="/")
    return {"losses": np.array(losses), **{name: np.asarray(leaf) for name, leaf in leaves.items()}}


def main(out, mode, variants, *distributed):
    if distributed:
        coordinator, processes, process = distributed
        jax.distributed.initialize(coordinator, int(processes), int(process))
    found = {}
    with tiny_backbone.registered():
        for variant in variants.split(","):
            found |= {f"{variant}:{name}": value for name, value in run(VARIANTS[variant], mode).items()}
    np.savez(out, devices=jax.device_count(), **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
