"""Purifiers: what is done to a photo before it is scored, so that less of a perturbation is left of it.
Those of the benchmark arXiv 2408.01541 that need no network; here compression, filters, resizing and rounding."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from robust_iqa_jax.functional.filters import gaussian_blur, median_filter, unsharp_mask
from robust_iqa_jax.functional.jpeg import Subsampling, round_trip
from robust_iqa_jax.functional.resize import resize
from robust_iqa_jax.functional.straight_through import straight_through

Images = Float[Array, "n h w c"]


@runtime_checkable
class Purifier(Protocol):
    """Images -> images of the same shape in [0,1], as a pure function that can be traced and differentiated."""

    @property
    def random(self) -> bool:
        """Whether it draws."""
        ...

    @property
    def name(self) -> str:
        """Short name for tables, such as "jpeg-75"."""
        ...

    def __call__(self, keys: Array, images: Images) -> Images:
        """Purified images; one key an image, which those that do not draw leave alone."""
        ...


class Deterministic:
    """A purifier that does the same at every call."""

    random = False


@dataclass(frozen=True)
class Jpeg(Deterministic):
    """JPEG compression (functional.jpeg.round_trip), straight through its roundings.

    Attributes:
      quality: libjpeg's, 1 to 100.
      subsampling: of the colours.
    """

    quality: float = 75.0
    subsampling: Subsampling = "4:2:0"

    def __post_init__(self) -> None:
        """Check the quality."""
        check(1 <= self.quality <= 100, "jpeg", "quality from 1 to 100", self.quality)

    @property
    def name(self) -> str:
        """ "jpeg-75"."""
        return f"jpeg-{self.quality:g}" + ("-444" if self.subsampling == "4:4:4" else "")

    def __call__(self, keys: Array, images: Images) -> Images:
        """The decoded images."""
        return round_trip(images, self.quality, self.subsampling)


@dataclass(frozen=True)
class Blur(Deterministic):
    """Gaussian blur; its derivative is its own.

    Attributes:
      sigma: standard deviation in pixels, > 0.
    """

    sigma: float = 1.0

    def __post_init__(self) -> None:
        """Check the width."""
        check(0 < self.sigma <= 100, "blur", "standard deviation above 0 and up to 100 pixels", self.sigma)

    @property
    def name(self) -> str:
        """ "blur-1"."""
        return f"blur-{self.sigma:g}"

    def __call__(self, keys: Array, images: Images) -> Images:
        """The blurred images."""
        return jnp.clip(gaussian_blur(images, self.sigma), 0, 1)  # rounding leaves [0,1] by the last bit


@dataclass(frozen=True)
class Median(Deterministic):
    """Median filter; its derivative is its own, see functional.filters.median_filter.

    Attributes:
      side: of the square around each pixel, 3, 5 or 7.
    """

    side: float = 3

    def __post_init__(self) -> None:
        """Check the side."""
        check(self.side in (3, 5, 7), "median", "side of 3, 5 or 7 pixels", self.side)

    @property
    def name(self) -> str:
        """ "median-3"."""
        return f"median-{self.side:g}"

    def __call__(self, keys: Array, images: Images) -> Images:
        """The filtered images."""
        return median_filter(images, int(self.side))


@dataclass(frozen=True)
class Resize(Deterministic):
    """Down to a share of each side and up again, by triangle filters (functional.resize); its derivative is its own.

    Attributes:
      share: of the sides that is left, > 0 and < 1.
    """

    share: float = 0.5

    def __post_init__(self) -> None:
        """Check the share."""
        check(0 < self.share < 1, "resize", "share of the sides above 0 and below 1", self.share)

    @property
    def name(self) -> str:
        """ "resize-0.5"."""
        return f"resize-{self.share:g}"

    def __call__(self, keys: Array, images: Images) -> Images:
        """The resized images, at their own size again."""
        h, w = images.shape[1:3]
        small = resize(images, (max(1, round(self.share * h)), max(1, round(self.share * w))))
        return jnp.clip(resize(small, (h, w)), 0, 1)


@dataclass(frozen=True)
class BitDepth(Deterministic):
    """Fewer levels a channel (Xu et al. 2018, arXiv 1704.01155), straight through the rounding.

    Attributes:
      bits: 1 to 8; 2^bits levels from 0 to 1.
    """

    bits: float = 4

    def __post_init__(self) -> None:
        """Check the bits."""
        check(self.bits in range(1, 9), "bits", "whole number from 1 to 8", self.bits)

    @property
    def name(self) -> str:
        """ "bits-4"."""
        return f"bits-{self.bits:g}"

    def __call__(self, keys: Array, images: Images) -> Images:
        """The nearest levels."""
        steps = 2 ** int(self.bits) - 1
        return straight_through(jnp.round(images * steps) / steps, images)


@dataclass(frozen=True)
class Unsharp(Deterministic):
    """Unsharp mask, x + amount (x - x blurred) clipped to [0,1]; its derivative is its own.

    Attributes:
      amount: > 0.
      sigma: of the blur, in pixels.
    """

    amount: float = 0.5
    sigma: float = 1.0

    def __post_init__(self) -> None:
        """Check the strength."""
        check(0 < self.amount <= 100, "unsharp", "amount above 0 and up to 100", self.amount)

    @property
    def name(self) -> str:
        """ "unsharp-0.5"."""
        return f"unsharp-{self.amount:g}"

    def __call__(self, keys: Array, images: Images) -> Images:
        """The sharpened images."""
        return unsharp_mask(images, self.sigma, self.amount)


def check(good: bool, name: str, want: str, got: float) -> None:
    """Raise ValueError, with the purifier's name, for a parameter that is not what it has to be."""
    if not good or not np.isfinite(got):
        raise ValueError(f"defense: {name}: {want} expected, got {got:g}")
