"""Scorers of other frameworks: a function of NumPy images, with or without a gradient, as one that attacks can call.
Source: this project, over jax.pure_callback and jax.custom_vjp."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import jax
import numpy as np
from jaxtyping import Array, Float

from robust_iqa_jax.checks import checked_images, checked_scores

Layout = Literal["NHWC", "NCHW"]
"""Order of the axes that a function takes: batch, height, width and channels."""
Pixels = Literal["float", "uint8"]
"""What pixels a function takes: float in [0,1], or 8-bit ones, to which images are rounded."""


@dataclass(frozen=True, eq=False)
class ForeignScorer:
    """Images (n, h, w, c) in [0,1] -> scores (n,), higher is better, by a function outside JAX; see `wrap`.

    It may be jitted and mapped, and differentiated once where it has gradients. A program that holds it asks the
    function while it runs, on the host, in the order of the program. It is known by itself: the same object reuses
    what was compiled for it.

    Attributes:
      name: for messages.
      scores: NumPy images (n, h, w, c) -> (n,).
      gradients: NumPy images -> (n,) and (n, h, w, c), the derivative of each score by its own pixels; None: unknown.
      score_range: lowest and highest score on this scale, where they are known.
    """

    name: str
    scores: Callable[[np.ndarray], Any]
    gradients: Callable[[np.ndarray], tuple[Any, Any]] | None = None
    score_range: tuple[float, float] | None = None
    _asked: set[Any] = field(default_factory=set, init=False, repr=False)

    lower_better = False
    """Scores of a function whose lower ones are better come with their sign changed."""

    def __call__(self, images: Float[Array, "n h w c"]) -> Float[Array, " n"]:
        """Scores (n,), higher is better.

        At the first call with images of a shape the function is asked once for noise of that shape, so that a wrong
        answer is a line of Python and not one of a compiled program.

        Raises:
          ValueError: images that no scorer takes, an answer that is not one finite float a photo, and, where the scores
            are differentiated, a function without gradients.
        """
        images = checked_images(images, "scorer")
        self._ask_once(images.shape, images.dtype)
        return checked_scores(_scores(self, images), images.shape[0], f"scorer: {self.name}")

    def __repr__(self) -> str:
        scale = "" if self.score_range is None else ", scores {:g} to {:g}".format(*self.score_range)
        return f"ForeignScorer({self.name}, {'white-box' if self.gradients else 'black-box'}{scale})"

    def _ask_once(self, shape: tuple[int, ...], dtype: Any) -> None:
        if shape in self._asked or 0 in shape:
            return
        noise = np.random.default_rng(0).uniform(size=shape).astype(dtype)
        with jax.ensure_compile_time_eval():
            checked_scores(self.scores(noise), shape[0], f"scorer: {self.name}")
        if self.gradients is not None:
            gradient = np.shape(self.gradients(noise)[1])
            if gradient != shape:
                raise ValueError(
                    f"scorer: {self.name}: a gradient has the shape of the images, {shape}; got {gradient}"
                )
        self._asked.add(shape)


def _asked(ask: Callable[[np.ndarray], tuple[Any, ...]], images: Array, *like: jax.ShapeDtypeStruct) -> Any:
    """What a NumPy function answers, from inside a program; images of mapped axes are asked for as one batch."""

    def on_host(images: Any) -> tuple[np.ndarray, ...]:
        batch = np.asarray(images)
        answers = ask(batch.reshape(-1, *batch.shape[-3:]))
        mapped = batch.shape[:-4]
        return tuple(
            np.asarray(answer, kind.dtype).reshape(*mapped, *kind.shape)
            for answer, kind in zip(answers, like, strict=True)
        )

    return jax.pure_callback(on_host, like, images, vmap_method="broadcast_all")


def _score_kind(images: Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(images.shape[:1], images.dtype)


def _scores_of(scorer: ForeignScorer, images: Array) -> Array:
    return _asked(lambda batch: (scorer.scores(batch),), images, _score_kind(images))[0]


def _forward(scorer: ForeignScorer, images: Array) -> tuple[Array, Array]:
    if scorer.gradients is None:
        raise ValueError(
            f"scorer: {scorer.name} has no gradient, and this asks for one; attack it with square or nes, which ask "
            "for scores alone, or give its gradient to riqa.wrap"
        )
    return _asked(scorer.gradients, images, _score_kind(images), jax.ShapeDtypeStruct(images.shape, images.dtype))


def _backward(scorer: ForeignScorer, gradient: Array, cotangent: Array) -> tuple[Array]:
    del scorer
    return (gradient * cotangent[:, None, None, None],)


_scores = jax.custom_vjp(_scores_of, nondiff_argnums=(0,))
_scores.defvjp(_forward, _backward)


def wrap(
    function: Callable[[np.ndarray], Any],
    *,
    gradient: Callable[[np.ndarray], Any] | None = None,
    batched: bool = True,
    layout: Layout = "NHWC",
    pixels: Pixels = "float",
    lower_better: bool = False,
    score_range: tuple[float, float] | None = None,
    name: str | None = None,
) -> ForeignScorer:
    """A score function of NumPy arrays as a scorer that attacks, evaluations and `jax.jit` take.

    Attacks that ask for scores alone (square, nes) work as they are; those that need a gradient, where it is given.

    Args:
      function: images -> scores (n,); whatever computes them, another framework or a server. What it raises ends the
        attack.
      gradient: images -> (n, h, w, c), the derivative of each score by its own image, laid out as the images are and in
        the units of the pixels that the function takes.
      batched: whether the function takes a batch; if not, one image, and answers with one number.
      layout: of the arrays that it takes.
      pixels: "float" in [0,1], or "uint8" for 0..255, to which images are rounded, which leaves no gradient.
      lower_better: whether its lower scores are the better ones; the scorer's have the other sign.
      score_range: the function's lowest and highest score, where they are known.
      name: for messages; the function's own where not given.

    Raises:
      ValueError: no functions, an unknown layout, a gradient of rounded pixels.
    """
    for what, given in (("function", function), ("gradient", gradient)):
        if not callable(given) and not (what == "gradient" and given is None):
            raise ValueError(f"wrap: the {what} must be a function of images, got {type(given).__name__}")
    _check_choice("wrap", "pixels", pixels, get_args(Pixels))
    check_layout("wrap", layout)
    if gradient is not None and pixels == "uint8":
        raise ValueError("wrap: rounding to 8 bits has no gradient; take pixels='float', or no gradient")
    sign = -1 if lower_better else 1

    def ask(of_batch: Callable[[np.ndarray], Any], images: np.ndarray) -> Any:
        given = np.round(255 * np.clip(images, 0, 1)).astype(np.uint8) if pixels == "uint8" else images
        given = np.ascontiguousarray(np.moveaxis(given, -1, 1)) if layout == "NCHW" else given
        return of_batch(given) if batched else np.stack([np.asarray(of_batch(image)) for image in given])

    def scores(images: np.ndarray) -> Any:
        return signed(ask(function, images), sign)

    def gradients(images: np.ndarray) -> tuple[Any, Any]:
        assert gradient is not None
        slopes = np.asarray(ask(gradient, images))
        return scores(images), sign * (np.moveaxis(slopes, 1, -1) if layout == "NCHW" else slopes)

    return ForeignScorer(
        name or getattr(function, "__name__", type(function).__name__),
        scores,
        None if gradient is None else gradients,
        signed_range(score_range, sign),
    )


def signed(answer: Any, sign: int) -> Any:
    """An answer with its sign changed, where it is an array; anything else is for the check of scores to name."""
    return sign * answer if sign < 0 and hasattr(answer, "dtype") else answer


def signed_range(ends: tuple[float, float] | None, sign: int) -> tuple[float, float] | None:
    """Lowest and highest score of a scale whose scores are multiplied by 1 or -1."""
    if ends is None:
        return None
    low, high = sorted(sign * float(end) for end in ends)
    return low, high


def check_layout(who: str, layout: str) -> None:
    """Raise ValueError for a layout that does not exist."""
    _check_choice(who, "layout", layout, get_args(Layout))


def _check_choice(who: str, what: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{who}: unknown {what} {value!r}; choose one of {', '.join(allowed)}")
