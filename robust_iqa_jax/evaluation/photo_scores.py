"""Scores of image files, in batches of one shape and constant memory, with what makes a score mean little.
Source: this project."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32

from robust_iqa_jax.data.images import ImageError, at_size, read_picture
from robust_iqa_jax.data.photo_notes import note_on
from robust_iqa_jax.models.scorer import AnyScorer

BATCH = 8

Complain = Callable[[str], None]
"""Takes a line about a photo that is not scored."""


@dataclass(frozen=True)
class PhotoScore:
    """A photo, its score, and what makes the score mean little (`photo_notes.note_on`)."""

    image: str
    score: float
    note: str | None


def photo_scores(scorer: AnyScorer, paths: Iterable[str], complain: Complain) -> Iterator[PhotoScore]:
    """The scores of image files in their order, as `scorer(read_image(path)[None])` gives them.

    A photo is resized by itself, without compiling anything for its size, and the network runs on batches of one shape.
    At most two batches are in memory: while the one is scored the next is decoded.

    Args:
      scorer: model.
      paths: image files.
      complain: is told of each that cannot be scored.
    """
    size = scorer.spec.input_size
    running: _Batch | None = None
    waiting: list[tuple[str, str | None, Float32[np.ndarray, "h w 3"]]] = []
    for path in paths:
        try:
            picture = read_picture(path)
        except ImageError as error:
            complain(str(error))
            continue
        waiting.append((path, note_on(picture, size), at_size(picture.pixels, size)))
        if len(waiting) == BATCH:
            started = _start(scorer, waiting)
            yield from _scored(running, complain)
            running, waiting = started, []
    yield from _scored(running, complain)
    if waiting:
        yield from _scored(_start(scorer, waiting), complain)


@dataclass(frozen=True)
class _Batch:
    images: list[tuple[str, str | None]]
    scores: Float[Array, " n"]


def _start(scorer: AnyScorer, photos: list[tuple[str, str | None, np.ndarray]]) -> _Batch:
    """Scores that JAX computes while Python goes on; a part of a batch is filled up with its last photo."""
    padded = np.stack([photo for *_, photo in photos] + [photos[-1][2]] * (BATCH - len(photos)))
    return _Batch([(path, note) for path, note, _ in photos], scorer(jnp.asarray(padded)))


def _scored(batch: _Batch | None, complain: Complain) -> Iterator[PhotoScore]:
    if batch is None:
        return
    for (path, note), score in zip(batch.images, np.asarray(batch.scores).tolist(), strict=False):
        if math.isfinite(score):
            yield PhotoScore(path, score, note)
        else:
            complain(f"{path}: the model's score is {score}; its weights are damaged, train or convert it again")
