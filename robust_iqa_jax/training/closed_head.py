"""Heads that are fitted in closed form, of architectures that have one (Architecture.fitted_head): before the steps, so
that these train layers for a head that reads them well, and after them, for the layers that came of it."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from robust_iqa_jax.data.photo_set import PhotoSet, evenly_spread
from robust_iqa_jax.data.pipeline import evaluation_batches
from robust_iqa_jax.models.architectures import architecture
from robust_iqa_jax.models.registry import build, normalise
from robust_iqa_jax.models.scorer import Calibration, PreparedScorer, Scorer
from robust_iqa_jax.models.spec import ModelSpec

PHOTOS = 4_000
"""Most photos that a head is fitted on, evenly spread: ten for each of its numbers."""
BATCH = 8


def with_fitted_head(spec: ModelSpec, variables: dict[str, Any], photos: PhotoSet) -> dict[str, Any]:
    """Variables whose head is the closed form on training photos; as they are, for a model whose head has none."""
    fit = architecture(spec).fitted_head
    if fit is None:
        return variables
    some = photos.subset(evenly_spread(len(photos), PHOTOS))
    scorer = Scorer(variables, Calibration.identity(), spec).prepare()
    read = partial(_means, spec, scorer.fixed if isinstance(scorer, PreparedScorer) else variables)
    parts = [
        [np.asarray(mean)[:count] for mean in read(jnp.asarray(images))]
        for images, count in evaluation_batches(some, spec.input_size, BATCH)
    ]
    means = [np.concatenate(stage) for stage in zip(*parts, strict=True)]
    params = fit(variables["params"], means, np.asarray(some.scores, np.float64), spec.input_size)
    return {**variables, "params": params}


@partial(jax.jit, static_argnums=0)
def _means(spec: ModelSpec, variables: dict[str, Any], images: Float[Array, "n h w 3"]) -> Any:
    return build(spec).apply(variables, normalise(spec, images), method="means")
