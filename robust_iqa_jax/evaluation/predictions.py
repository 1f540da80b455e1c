"""Scores of a whole photo set, a batch at a time, and the seconds that they took."""

import time
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np

from robust_iqa_jax.data.photo_set import PhotoSet
from robust_iqa_jax.data.pipeline import evaluation_batches
from robust_iqa_jax.devices import ONE, Devices
from robust_iqa_jax.evaluation.results import ResultFolder, cached, digest
from robust_iqa_jax.metrics.scores import Scores
from robust_iqa_jax.models.spec import ModelSpec


@runtime_checkable
class PhotoScorer(Protocol):
    """A trained scorer, or one behind a defence: scores photos of its own input size."""

    @property
    def spec(self) -> ModelSpec:
        """The model, whose input size it is."""
        ...

    def prepare(self) -> Any:
        """Images in [0,1] -> scores (n,), for these weights as they are now."""
        ...


def predict(scorer: PhotoScorer, photos: PhotoSet, batch_size: int = 16, placed: Devices = ONE) -> Scores:
    """Scores (n,) float64 of all photos, in order; `batch_size` at a time on each of the devices."""
    copies = placed.copies(scorer.prepare())
    parts = [
        np.asarray(copies(placed.parts(jnp.asarray(images))))[:count]
        for images, count in evaluation_batches(photos, scorer.spec.input_size, batch_size * placed.count)
    ]
    return np.concatenate(parts).astype(np.float64)


def timed_predictions(
    scorers: Mapping[str, PhotoScorer], photos: PhotoSet, placed: Devices, results: ResultFolder | None
) -> dict[str, tuple[Scores, float]]:
    """Model -> scores of all photos and the seconds that they took, from the finished parts where they are there."""

    def compute(scorer: PhotoScorer) -> dict[str, Any]:
        began = time.perf_counter()
        scores = predict(scorer, photos, placed=placed).tolist()
        return {"scores": scores, "seconds": time.perf_counter() - began}

    pixels = "" if results is None else digest(*(digest(photos.load(i)) for i in range(len(photos))))
    parts = {
        name: cached(
            results, f"{name}, all photos", lambda s=scorer: compute(s), "all photos", scorer, pixels, placed.count
        )
        for name, scorer in scorers.items()
    }
    return {name: (np.asarray(part["scores"], np.float64), part["seconds"]) for name, part in parts.items()}
