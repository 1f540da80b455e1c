"""Fit the regression head alone on pooled features of whole photos, before everything is trained.
Probing, then fine-tuning (Kumar et al. 2022, arXiv 2202.10054): a fitted head distorts good features less."""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from robust_iqa_jax.layers.linearity_head import LinearityHead
from robust_iqa_jax.losses.total import OutputLoss, linearity_iqa_loss

BATCH = 64
RATE = 1e-3


def fit_head(
    variables: dict[str, Any],
    features: list[Float[np.ndarray, "n f"]],
    scores: Float[np.ndarray, " n"],
    epochs: float,
    key: Array,
    loss: OutputLoss = linearity_iqa_loss,
) -> dict[str, Any]:
    """Variables whose head is fitted to the features by Adam in batches of 64, the rate cut tenfold at each third.

    Large batches, because norm-in-norm compares a batch with itself and the head's batch statistics are noisy in small
    ones; they cost nothing here, since no image is looked at.

    Args:
      variables: of the model; only the head's change.
      features: pooled features of each tap, one row a photo.
      scores: (n,) opinion scores.
      epochs: passes over the photos.
      key: of the order of the photos.
      loss: of the head's outputs (n, taps + 1) against the scores.

    Returns:
      new variables.
    """
    count = len(scores)
    batch = min(BATCH, count)
    steps = max(1, round(epochs * count / batch))
    keys = jax.random.split(key, math.ceil(steps * batch / count))
    order = jnp.concatenate([jax.random.permutation(k, count) for k in keys])[: steps * batch].reshape(steps, batch)
    optimizer = optax.adam(optax.piecewise_constant_schedule(RATE, {steps // 3: 0.1, 2 * steps // 3: 0.1}))
    params, batch_stats = variables["params"]["head"], variables["batch_stats"]["head"]
    head, taps, targets = LinearityHead(), [jnp.asarray(f) for f in features], jnp.asarray(scores, jnp.float32)

    def step(carry: tuple[Any, Any, Any], index: Array) -> tuple[tuple[Any, Any, Any], None]:
        params, batch_stats, state = carry

        def loss_of(params: Any) -> tuple[Array, Any]:
            own = {"params": params, "batch_stats": batch_stats}
            outputs, updated = head.apply(own, [x[index] for x in taps], train=True, mutable=["batch_stats"])
            return loss(outputs, targets[index]), updated["batch_stats"]

        (_, batch_stats), gradient = jax.value_and_grad(loss_of, has_aux=True)(params)
        updates, state = optimizer.update(gradient, state)
        return (optax.apply_updates(params, updates), batch_stats, state), None

    run = jax.jit(partial(jax.lax.scan, step))
    (params, batch_stats, _), _ = run((params, batch_stats, optimizer.init(params)), order)
    return {
        "params": {**variables["params"], "head": params},
        "batch_stats": {**variables["batch_stats"], "head": batch_stats},
    }
