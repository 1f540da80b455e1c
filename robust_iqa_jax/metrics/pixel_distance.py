"""How far attacked images are from the clean ones, image by image: norms and PSNR, from pixels in [0,1].
PSNR for a range of 1."""

import numpy as np
from jaxtyping import Array, Float

from robust_iqa_jax.metrics.scores import Scores

Pixels = Float[np.ndarray, "n h w c"] | Float[Array, "n h w c"]


def linf(clean: Pixels, attacked: Pixels) -> Scores:
    """(n,) largest change of a pixel, in [0,1] units."""
    return np.abs(_difference(clean, attacked)).max((1, 2, 3))


def l2(clean: Pixels, attacked: Pixels) -> Scores:
    """(n,) root of the sum of squared changes over all pixels and channels, in [0,1] units."""
    return np.sqrt((_difference(clean, attacked) ** 2).sum((1, 2, 3)))


def psnr(clean: Pixels, attacked: Pixels) -> Scores:
    """(n,) -10 log10 of the mean squared change, in dB for a range of 1; infinity for equal images."""
    error = (_difference(clean, attacked) ** 2).mean((1, 2, 3))
    return np.where(error > 0, -10 * np.log10(np.where(error > 0, error, 1)), np.inf)


def _difference(clean: Pixels, attacked: Pixels) -> Float[np.ndarray, "n h w c"]:
    return np.asarray(attacked, np.float64) - np.asarray(clean, np.float64)
