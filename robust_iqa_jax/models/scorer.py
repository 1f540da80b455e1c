"""Scorer: model, weights, preprocessing and calibration in one callable pytree, images in and scores out.
What attacks, evaluation and users call; it is jit- and grad-friendly and changing its weights recompiles nothing."""

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.functional.resize import resize
from robust_iqa_jax.layers.cayley_conv import OPERATORS
from robust_iqa_jax.models.crops import crop_grid
from robust_iqa_jax.models.registry import COLLECTIONS, build, normalise
from robust_iqa_jax.models.spec import ModelSpec


@partial(jax.tree_util.register_dataclass, data_fields=["slope", "intercept", "low", "high"], meta_fields=[])
@dataclass(frozen=True)
class Calibration:
    """score = slope * output + intercept, fitted on the training set; low and high are the training scores' extremes.

    Source: LinearityIQA's linear rescale (REFERENCE 2.1), with the extremes taken on the training set.
    """

    slope: Float[Array, ""]
    intercept: Float[Array, ""]
    low: Float[Array, ""]
    high: Float[Array, ""]

    @classmethod
    def identity(cls) -> "Calibration":
        """The model's own scale."""
        return cls(jnp.float32(1), jnp.float32(0), jnp.float32(0), jnp.float32(1))


@partial(jax.tree_util.register_dataclass, data_fields=["variables", "calibration"], meta_fields=["spec", "label"])
@dataclass(frozen=True)
class Scorer:
    """Callable model: `scorer(images)` with float images (n, h, w, 3) in [0,1] gives (n,) scores, higher is better.

    Attributes:
      variables: {"params", "batch_stats"[, "operators"]}.
      calibration: to the scale of the data set that it was trained on.
      spec: the model description.
      label: what the scale is: "mos" for human opinion scores, "pseudo_mos" for the embedded data set.
    """

    variables: dict[str, Any]
    calibration: Calibration
    spec: ModelSpec
    label: str = "mos"

    def __call__(self, images: Float[Array, "n h w 3"]) -> Float[Array, " n"]:
        """Scores (n,) on the data set's scale; any size, resized inside to the model's input size.

        Raises:
          ValueError: not a float array of shape (n, h, w, 3).
        """
        images = jnp.asarray(images)
        if images.ndim != 4 or images.shape[-1] != 3:
            raise ValueError(f"scorer: expected images of shape (n, height, width, 3), got {images.shape}")
        if not jnp.issubdtype(images.dtype, jnp.floating):
            raise ValueError(f"scorer: expected float images in [0, 1], got {images.dtype}; divide 8-bit images by 255")
        return _score(self, images)

    def prepare(self) -> "Scorer":
        """The same scorer with the orthogonal convolutions' inverses computed once (inference)."""
        if self.spec.block is None:
            return self
        bare = {name: self.variables[name] for name in COLLECTIONS}
        images = jnp.zeros((1, *self.spec.seen_size, 3), jnp.float32)
        apply = jax.jit(partial(build(self.spec).apply, train=False, mutable=[OPERATORS]))
        return dataclasses.replace(self, variables={**bare, **apply(bare, images)[1]})


@jax.jit
def _score(scorer: Scorer, images: Array) -> Array:
    outputs = outputs_of(scorer.spec, scorer.variables, images)
    return scorer.calibration.slope * outputs[:, -1] + scorer.calibration.intercept


def outputs_of(
    spec: ModelSpec, variables: dict[str, Any], images: Float[Array, "n h w 3"]
) -> Float[Array, "n outputs"]:
    """Uncalibrated outputs in evaluation mode, preprocessing included: (n, outputs), the score last; the mean over the
    spec's crops where it has any."""
    resized = resize(images, spec.input_size)
    windows = resized if spec.crops is None else crop_grid(resized, spec.crops)
    outputs = cast(Array, build(spec).apply(variables, normalise(spec, windows), train=False))
    return outputs.reshape(len(images), -1, outputs.shape[-1]).mean(1)
