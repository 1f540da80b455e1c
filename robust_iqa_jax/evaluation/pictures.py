"""What attacks add, as pictures: the change in grey levels, amplified to be seen, of the images that moved furthest.
Source: this project."""

from typing import Any

import numpy as np
from jaxtyping import Float, Int, Real, UInt8

from robust_iqa_jax.data.images import data_uri

COUNT = 5
"""Images of a model that a report shows."""
SHOWN = (96, 128)
"""Largest height and width of a picture, which is the middle of the change: shrinking would average it out."""


def difference_picture(levels: Real[np.ndarray, "h w c"]) -> tuple[UInt8[np.ndarray, "h w c"], int]:
    """A change in grey levels as a picture, 128 + gain * levels, and the gain: the largest whole one that fits.

    Changes of more than 127 levels, at gain 1, are cut off.
    """
    largest = float(np.abs(levels).max())
    gain = max(int(127 / largest), 1) if largest > 0 else 1
    return np.clip(np.round(128 + gain * levels), 0, 255).astype(np.uint8), gain


class Furthest:
    """The images that one attack moved furthest, with pictures of what it added; see a batch at a time."""

    def __init__(self, clean: Float[np.ndarray, " n"]) -> None:
        """Of images with these scores."""
        self._clean = clean
        self._largest: dict[int, tuple[float, Float[np.ndarray, "h w c"], Float[np.ndarray, "h w c"]]] = {}

    def see(
        self,
        index: Int[np.ndarray, " b"],
        scores: Float[np.ndarray, " b"],
        images: Float[np.ndarray, "b h w c"],
        adversarial: Float[np.ndarray, "b h w c"],
    ) -> None:
        """A batch: places of its images, scores under attack, and pixels in [0,1] before and after."""
        moved = np.abs(scores - self._clean[index])
        for place in sorted(np.flatnonzero(np.isfinite(moved)), key=lambda place: -moved[place])[:COUNT]:
            after, before = (_middle(pixels[place]).astype(np.float64) for pixels in (adversarial, images))
            self._largest[int(index[place])] = float(moved[place]), 255 * before, 255 * after
        best = sorted(self._largest, key=lambda i: (-self._largest[i][0], i))[:COUNT]
        self._largest = {i: self._largest[i] for i in best}

    def pictures(self) -> dict[str, dict[str, Any]]:
        """Place of an image, as text -> "amplified" (see `difference_picture`) and "picture", a PNG as a data URI; of
        the image that moved furthest also "before" and "after", the same part of it."""
        made = {}
        for i, (_, before, after) in self._largest.items():
            pixels, gain = difference_picture(after - before)
            made[str(i)] = {"amplified": gain, "picture": data_uri(pixels, "PNG")}
            if len(made) == 1:
                made[str(i)] |= {"before": _png(before), "after": _png(after)}
        return made


def _png(levels: Float[np.ndarray, "h w c"]) -> str:
    return data_uri(np.clip(np.round(levels), 0, 255).astype(np.uint8), "PNG")


def _middle(image: Float[np.ndarray, "h w c"]) -> Float[np.ndarray, "h2 w2 c"]:
    top, left = (max(0, (side - most) // 2) for side, most in zip(image.shape, SHOWN, strict=False))
    return image[top : top + SHOWN[0], left : left + SHOWN[1]]
