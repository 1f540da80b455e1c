"""Median smoothing: the median score of a photo under Gaussian noise, and an interval that no l2 change can leave.
Chiang et al. 2020 (arXiv 2007.03730); with a denoiser in front of the model, DMS-IQA (arXiv 2411.12575)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from robust_iqa_jax.attacks.objective import ScoreFunction
from robust_iqa_jax.checks import checked_images
from robust_iqa_jax.defenses.purifiers import Images
from robust_iqa_jax.metrics.order_statistics import Ranks, certifying_ranks
from robust_iqa_jax.pytrees import as_program, as_pytree

Denoiser = Callable[[Images], Images]
"""Noisy images -> images, both in [0,1]; any fixed function of each image: the certificate holds for what it gives."""


@dataclass(frozen=True)
class Smoothing:
    """How scores are smoothed and certified.

    Attributes:
      sigma: standard deviation of the noise, in [0,1] pixels, > 0.
      radius: l2 length of the changes that are certified against, in [0,1] pixels over all pixels and channels, > 0.
      samples: noisy scores a photo.
      alpha: chance, over the noise, that a photo's interval is wrong.

    Raises:
      ValueError: numbers out of range, or too few samples for the radius.
    """

    sigma: float = 0.12
    radius: float = 0.12
    samples: int = 1000
    alpha: float = 0.001

    def __post_init__(self) -> None:
        """Check the numbers, each and together."""
        for name, unit in (("sigma", "[0, 1] pixels"), ("radius", "[0, 1] pixels")):
            value = getattr(self, name)
            if not 0 < value < float("inf"):
                raise ValueError(f"certify: {name} in {unit} must be above 0 and finite, got {value:g}")
        if self.samples < 1:
            raise ValueError(f"certify: one sample or more expected, got {self.samples}")
        if not 0 < self.alpha < 1:
            raise ValueError(f"certify: alpha, a probability, must lie between 0 and 1, got {self.alpha:g}")
        try:
            self.ranks()
        except ValueError as error:
            raise ValueError(f"certify: {error} (sigma {self.sigma:g})") from error

    def ranks(self) -> Ranks:
        """Of the sorted noisy scores, those that are the interval and the score."""
        return certifying_ranks(self.samples, self.radius / self.sigma, self.alpha)


@dataclass(frozen=True)
class Certificate:
    """With probability 1 - alpha over the noise, the median smoothed score of every photo within the radius lies in
    [low, high].

    Attributes:
      score: estimate of the median smoothed score, in score points.
      low, high: the interval's ends.
      plain: score of the photo without noise.
    """

    score: float
    low: float
    high: float
    plain: float


def certificates(
    scorer: ScoreFunction,
    key: Array,
    images: Any,
    smoothing: Smoothing,
    *,
    denoiser: Denoiser | None = None,
    chunk: int = 32,
    on_chunk: Callable[[int], None] = lambda scores: None,
) -> list[Certificate]:
    """Certificates of images.

    The noisy pixels are cut to [0,1] before the denoiser and the scorer see them, which any fixed function may do.

    Args:
      scorer: images in [0,1] -> (n,).
      key: of the noise; image i's k-th noise is that of fold_in(fold_in(key, i), k), whatever the chunk.
      images: (n, h, w, c) in [0,1].
      smoothing: noise, radius, samples and confidence.
      denoiser: applied to the noisy images.
      chunk: noisy images scored at a time.
      on_chunk: called with the number of noisy scores after each chunk.

    Raises:
      ValueError: bad images, a chunk below 1, or scores that are not finite.
    """
    images = checked_images(images, "certify")
    plain = np.asarray(as_program(scorer)(images), np.float64)
    noisy = noisy_scores(
        scorer, key, images, smoothing.sigma, smoothing.samples, denoiser=denoiser, chunk=chunk, on_chunk=on_chunk
    )
    low, score, high = np.moveaxis(smoothing.ranks().of(noisy), -1, 0)
    return [Certificate(*map(float, one)) for one in zip(score, low, high, plain, strict=True)]


def noisy_scores(
    scorer: ScoreFunction,
    key: Array,
    images: Images,
    sigma: float,
    samples: int,
    *,
    denoiser: Denoiser | None = None,
    chunk: int = 32,
    on_chunk: Callable[[int], None] = lambda scores: None,
) -> Float[np.ndarray, "n samples"]:
    """Scores of each image under `samples` draws of noise, see `certificates`; one program, `chunk` images at a time.

    Raises:
      ValueError: a chunk below 1, or scores that are not finite.
    """
    if chunk < 1:
        raise ValueError(f"certify: chunks of one noisy image or more expected, got {chunk}")
    count = len(images)
    fold = jax.vmap(jax.random.fold_in)
    keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(count))
    program, places = as_pytree(scorer), np.arange(count * samples)
    parts = []
    for start in range(0, len(places), chunk):
        place = places[np.minimum(np.arange(start, start + chunk), len(places) - 1)]
        image, draw = jnp.asarray(place // samples), jnp.asarray(place % samples)
        scores = _noisy(program, denoiser, fold(keys[image], draw), images, image, sigma)
        parts.append(np.asarray(scores, np.float64)[: len(places) - start])
        on_chunk(len(parts[-1]))
    result = np.concatenate(parts).reshape(count, samples)
    if not np.isfinite(result).all():
        raise ValueError("certify: the model's score of a noisy photo is not finite; its weights are damaged")
    return result


@partial(jax.jit, static_argnums=1)
def _noisy(
    scorer: ScoreFunction, denoiser: Denoiser | None, keys: Array, images: Images, index: Array, sigma: float
) -> Float[Array, " chunk"]:
    noise = jax.vmap(partial(jax.random.normal, shape=images.shape[1:], dtype=images.dtype))(keys)
    noisy = jnp.clip(images[index] + sigma * noise, 0, 1)
    return scorer(noisy if denoiser is None else denoiser(noisy))
