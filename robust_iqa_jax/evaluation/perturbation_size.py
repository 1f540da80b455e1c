"""How far attacked images are from the clean ones, image by image: norms, PSNR, structural similarity, features.
PSNR for a range of 1; the similarities' sources stand in functional/ssim.py and functional/feature_distance.py."""

from collections.abc import Callable, Sequence

import jax
import numpy as np
from jaxtyping import Array

from robust_iqa_jax.checks import checked_images
from robust_iqa_jax.evaluation.batches import even_batches
from robust_iqa_jax.functional.feature_distance import Distance
from robust_iqa_jax.functional.ssim import ms_ssim, ssim
from robust_iqa_jax.metrics.pixel_distance import Pixels, l2, linf, psnr
from robust_iqa_jax.metrics.scores import Scores
from robust_iqa_jax.pytrees import as_pytree


def perturbation_sizes(
    clean: Pixels,
    attacked: Pixels,
    measures: Sequence[str] = ("linf", "l2", "psnr", "ssim"),
    *,
    distance: Distance | None = None,
    batch_size: int = 8,
) -> dict[str, Scores]:
    """Measure -> (n,) values.

    Args:
      clean, attacked: float (n, h, w, c) in [0,1].
      measures: among "linf", "l2", "psnr", "ssim" (sides of 11 or more) and "ms_ssim" (176 or more).
      distance: adds "feature_distance"; backbone_distance() is LPIPS without its learned weights.
      batch_size: most images a call of the similarities and the distance.

    Raises:
      ValueError: bad images, shapes that differ, unknown measures, images too small for a measure.
    """
    clean, attacked = checked_images(clean), checked_images(attacked)
    if clean.shape != attacked.shape:
        raise ValueError(f"perturbation_sizes: one shape expected, got {clean.shape} and {attacked.shape}")
    known = [*_OF_PIXELS, *_OF_BATCHES]
    if unknown := [name for name in measures if name not in known]:
        raise ValueError(f"perturbation_sizes: unknown measures {unknown}; choose among {', '.join(known)}")
    sizes = {}
    for name in measures:
        if name in _OF_PIXELS:
            sizes[name] = _OF_PIXELS[name](clean, attacked)
        else:
            sizes[name] = _in_batches(as_pytree(_OF_BATCHES[name]), clean, attacked, batch_size)
    if distance is not None:
        sizes["feature_distance"] = _in_batches(as_pytree(distance), clean, attacked, batch_size)
    return sizes


_OF_PIXELS: dict[str, Callable[[Pixels, Pixels], Scores]] = {"linf": linf, "l2": l2, "psnr": psnr}
_OF_BATCHES: dict[str, Distance] = {"ssim": ssim, "ms_ssim": ms_ssim}


def _in_batches(measure: Distance, clean: Array, attacked: Array, batch_size: int) -> Scores:
    values = [_measured(measure, clean[i], attacked[i]) for i in even_batches(len(clean), batch_size)]
    return np.concatenate([np.asarray(value, np.float64) for value in values])[: len(clean)]


@jax.jit
def _measured(measure: Distance, x: Array, y: Array) -> Array:
    return measure(x, y)
