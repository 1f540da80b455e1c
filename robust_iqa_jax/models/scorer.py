"""Scorer: model, weights, preprocessing and calibration in one callable pytree, images in and scores out.
What attacks, evaluation and users call; it is jit- and grad-friendly and changing its weights recompiles nothing."""

from dataclasses import dataclass
from functools import partial
from html import escape
from typing import Any, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.checks import checked_images
from robust_iqa_jax.functional.resize import resize
from robust_iqa_jax.layers.orthogonal_conv import OPERATORS, with_operators
from robust_iqa_jax.models.architectures import architecture
from robust_iqa_jax.models.crops import crop_grid
from robust_iqa_jax.models.registry import COLLECTIONS, build, normalise
from robust_iqa_jax.models.spec import ModelSpec

# eq=False below: objects that hold arrays are equal to themselves alone and hash by identity. Comparing millions of
# weights has a cost and, under jit, no answer; numpy.testing and jax.tree compare values where that is meant.


@partial(jax.tree_util.register_dataclass, data_fields=["slope", "intercept", "low", "high"], meta_fields=[])
@dataclass(frozen=True, eq=False)
class Calibration:
    """score = slope * output + intercept, fitted on the training set; low and high are the training scores' extremes.

    Source: LinearityIQA's linear rescale (docs/sources.md 2.1), with the extremes taken on the training set. It belongs
    to the weights that it was fitted with: with others put in, fit it again (training.calibration).
    """

    slope: Float[Array, ""]
    intercept: Float[Array, ""]
    low: Float[Array, ""]
    high: Float[Array, ""]

    @classmethod
    def identity(cls) -> "Calibration":
        """The model's own scale."""
        return cls(jnp.float32(1), jnp.float32(0), jnp.float32(0), jnp.float32(1))


class Described:
    """What people and notebooks ask of a scorer: which way its scores go, how far, and what it is.

    Attributes:
      lower_better: False: a higher score is a better photo, always.
    """

    calibration: Calibration
    spec: ModelSpec
    label: str

    lower_better = False

    @property
    def score_range(self) -> tuple[float, float]:
        """Lowest and highest score of the photos that it was trained on, which other photos may pass a little."""
        return float(self.calibration.low), float(self.calibration.high)

    def _repr_html_(self) -> str:
        record = architecture(self.spec)
        low, high = self.score_range
        what = {
            "model": f"{record.title} over {self.spec.backbone}",
            "RobustBlock": "none" if self.spec.block is None else f"at {self.spec.block.at}",
            "images": "any size, resized to {} x {}".format(*self.spec.input_size),
            "scores": f"{self.label}, {low:.4g} to {high:.4g}, higher is better",
            "size": _size_of(cast(Any, self)),
            "published in": record.paper,
        }
        rows = "".join(
            f"<tr><th style='text-align:left'>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in what.items()
        )
        return f"<table><caption>{type(self).__name__}</caption>{rows}</table>"


@partial(jax.tree_util.register_dataclass, data_fields=["variables", "calibration"], meta_fields=["spec", "label"])
@dataclass(frozen=True, eq=False)
class Scorer(Described):
    """Callable model: `scorer(images)` with float images (n, h, w, 3) in [0,1] gives (n,) scores, higher is better.

    Its leaves are weights and nothing that is derived from them, so that it can be averaged, pruned, fine-tuned and
    given other weights; `prepare` makes the faster one for fixed weights.

    Attributes:
      variables: {"params", "batch_stats"}.
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

        Half-precision images are scored in float32.

        Raises:
          ValueError: not a float array of shape (n, h, w, 3), no image, or pixels outside [0,1].
        """
        return _score(self, _checked(images))

    def __repr__(self) -> str:
        return f"Scorer({_in_words(self)}, {_size_of(self)})"

    def prepare(self) -> "Scorer | PreparedScorer":
        """A scorer for these weights as they are now, several times faster where the model has a RobustBlock: its
        orthogonal convolutions' inverses are computed once. A model that has nothing to prepare is its own: one without
        such convolutions, or with the block as its authors have it."""
        if self.spec.block is None and not architecture(self.spec).orthogonal:
            return self
        weights = {name: self.variables.get(name, {}) for name in COLLECTIONS}
        operators = _operators(self.spec, weights)
        if not operators:
            return self
        fixed = with_operators(weights, operators)
        count = sum(leaf.size for leaf in jax.tree.leaves(weights["params"]))
        return PreparedScorer(fixed, self.calibration, self.spec, self.label, count)


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["fixed", "calibration"],
    meta_fields=["spec", "label", "parameters"],
)
@dataclass(frozen=True, eq=False)
class PreparedScorer(Described):
    """A Scorer for fixed weights, from `Scorer.prepare`: called like it, and faster.

    It holds the inverses of its orthogonal convolutions *in place of* their parameters, not beside them, so that there
    is nothing that they could disagree with. Derivatives in images are the scorer's; those in its leaves are refused.

    Attributes:
      fixed: {"params", "batch_stats", "operators"}; the first lacks what the last replaces.
      calibration, spec, label: of the scorer.
      parameters: number of the scorer's parameters.
    """

    fixed: dict[str, Any]
    calibration: Calibration
    spec: ModelSpec
    label: str
    parameters: int

    def __call__(self, images: Float[Array, "n h w 3"]) -> Float[Array, " n"]:
        """`Scorer.__call__`."""
        return _score(self, _checked(images))

    def __repr__(self) -> str:
        return f"PreparedScorer({_in_words(self)}, {_size_of(self)})"

    def prepare(self) -> "PreparedScorer":
        """Itself."""
        return self

    @property
    def variables(self) -> dict[str, Any]:
        """Refused: the scorer has them.

        Raises:
          AttributeError: always.
        """
        raise AttributeError(
            "a prepared scorer has no weights to read, train, average or save, only what was computed from them; "
            "do that with the scorer it was prepared from, then prepare() again"
        )


AnyScorer = Scorer | PreparedScorer
"""Images in, scores out: what scores and attacks are computed with, weights at hand or not."""


def _checked(images: Any) -> Array:
    images = checked_images(images, "scorer")
    if images.shape[-1] != 3 or 0 in images.shape:
        raise ValueError(f"scorer: at least one image of shape (height, width, 3) expected, got {images.shape}")
    return images


def _in_words(scorer: AnyScorer) -> str:
    """Architecture, block, input size and scale, in a few words."""
    spec = scorer.spec
    block = "" if spec.block is None else f", block at {spec.block.at}"
    size = "x".join(map(str, spec.input_size))
    return f"{spec.architecture} over {spec.backbone}{block}, input {size}, {scorer.label}{_scale(scorer.calibration)}"


def _scale(calibration: Calibration) -> str:
    """Range of the scale, where it is known: inside a traced program it is not."""
    try:
        return f" {float(calibration.low):.4g} to {float(calibration.high):.4g}"
    except (TypeError, AttributeError):  # tracers, shapes, and placeholders of jax.tree
        return ""


def _size_of(scorer: AnyScorer) -> str:
    if isinstance(scorer, PreparedScorer):
        return f"{scorer.parameters:,} parameters"
    try:
        return f"{sum(leaf.size for leaf in jax.tree.leaves(scorer.variables['params'])):,} parameters"
    except (TypeError, AttributeError, KeyError):  # placeholders of jax.tree
        return "no parameters"


@partial(jax.jit, static_argnums=0)
def _operators(spec: ModelSpec, weights: dict[str, Any]) -> dict[str, Any]:
    images = jnp.zeros((1, *spec.seen_size, 3), jnp.float32)
    _, made = build(spec).apply(weights, images, train=False, mutable=[OPERATORS])
    return cast(dict[str, Any], made).get(OPERATORS, {})


@jax.jit
def _score(scorer: AnyScorer, images: Array) -> Array:
    if isinstance(scorer, PreparedScorer):
        variables = scorer.fixed
    else:
        variables = {name: scorer.variables.get(name, {}) for name in COLLECTIONS}
    outputs = outputs_of(scorer.spec, variables, images)
    return scorer.calibration.slope * outputs[:, -1] + scorer.calibration.intercept


def outputs_of(
    spec: ModelSpec, variables: dict[str, Any], images: Float[Array, "n h w 3"]
) -> Float[Array, "n outputs"]:
    """Uncalibrated outputs in evaluation mode, preprocessing included: (n, outputs), the score last; the mean over the
    spec's crops where it has any."""
    resized = resize(images, spec.input_size)
    windows = resized if spec.crops is None else crop_grid(resized, spec.crops)
    outputs = cast(Array, build(spec).apply(variables, normalise(spec, windows), train=False))
    return outputs.reshape(images.shape[0], -1, outputs.shape[-1]).mean(1)
