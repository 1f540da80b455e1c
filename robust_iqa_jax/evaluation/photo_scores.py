"""Scores of image files, in batches of one shape and constant memory, with what makes a score mean little.
Source: this project."""

import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32

from robust_iqa_jax.data.batches import padded_batches
from robust_iqa_jax.data.images import ImageError, at_size, read_picture
from robust_iqa_jax.data.photo_notes import note_on
from robust_iqa_jax.data.photo_paths import Complain, photo_paths
from robust_iqa_jax.models.scorer import AnyScorer

BATCH = 8


@dataclass(frozen=True)
class PhotoScore:
    """A photo, its score, and what makes the score mean little (`photo_notes.note_on`)."""

    image: str
    score: float
    note: str | None


def score_photos(
    scorer: AnyScorer,
    photos: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    complain: Complain | None = None,
) -> Iterator[PhotoScore]:
    """Scores of photos on disk, one after the other, in constant memory: what `riqa score` prints.

    Args:
      scorer: a model, which is prepared.
      photos: a file, a folder (the photos directly in it, by name), a pattern such as "photos/**/*.jpg", or several.
      complain: is told, in a line, of each that cannot be scored; None: the first of them is an error.

    Yields:
      each photo with its path, its score, and a note where the score means little.

    Raises:
      ImageError: a photo that cannot be scored, without `complain`.
    """
    given: Iterable[str | os.PathLike[str]] = [photos] if isinstance(photos, (str, os.PathLike)) else photos
    told = _refuse if complain is None else complain
    return photo_scores(scorer.prepare(), photo_paths([str(os.fspath(path)) for path in given], told), told)


def _refuse(line: str) -> None:
    raise ImageError(line)


def photo_scores(scorer: AnyScorer, paths: Iterable[str], complain: Complain) -> Iterator[PhotoScore]:
    """The scores of image files in their order, as `scorer(read_image(path)[None])` gives them.

    A photo is resized by itself, without compiling anything for its size, and the network runs on batches of one shape.
    At most two batches are in memory: while the one is scored the next is decoded.

    Args:
      scorer: model.
      paths: image files.
      complain: is told of each that cannot be scored.
    """
    pending: list[tuple[str, str | None]] = []
    running: _Batch | None = None
    for images, _ in padded_batches(_photos(scorer.spec.input_size, paths, pending, complain), BATCH):
        batch = _Batch(tuple(pending), scorer(jnp.asarray(images)))  # JAX computes it while Python goes on
        pending.clear()
        yield from _scored(running, complain)
        running = batch
    yield from _scored(running, complain)


def _photos(
    size: tuple[int, int], paths: Iterable[str], pending: list[tuple[str, str | None]], complain: Complain
) -> Iterator[Float32[np.ndarray, "h w 3"]]:
    """The photos that can be decoded, at this size; the path of each and its note are added to `pending`."""
    for path in paths:
        try:
            picture = read_picture(path)
        except ImageError as error:
            complain(str(error))
            continue
        pending.append((path, note_on(picture, size)))
        yield at_size(picture.pixels, size)


@dataclass(frozen=True, eq=False)
class _Batch:
    images: tuple[tuple[str, str | None], ...]
    scores: Float[Array, " n"]


def _scored(batch: _Batch | None, complain: Complain) -> Iterator[PhotoScore]:
    if batch is None:
        return
    for (path, note), score in zip(batch.images, np.asarray(batch.scores).tolist(), strict=False):
        if math.isfinite(score):
            yield PhotoScore(path, score, note)
        else:
            complain(f"{path}: the model's score is {score}; its weights are damaged, train or convert it again")
