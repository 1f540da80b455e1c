"""Synthetic distortions of photos at five levels each, deterministic in their random generator.
Sources: kinds after KADID-10k (Lin et al. 2019) and TID2013 (Ponomarenko et al. 2015); levels are this project's."""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from scipy import ndimage, signal

Pixels = Float[np.ndarray, "h w 3"]
Apply = Callable[[Pixels, float, np.random.Generator], Pixels]

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# Columns: how red, green and blue move when Cb or Cr (ITU-R BT.601, full range) grows by one at constant luma.
_CHROMA_TO_RGB = np.array([[0, -0.344136, 1.772], [1.402, -0.714136, 0]], np.float32)


@dataclass(frozen=True)
class Distortion:
    """One kind of distortion: `distortion(image, level, generator)`.

    Attributes:
      apply: pixels in [0,1], the level's parameter, generator -> pixels, clipped afterwards.
      parameters: the parameter of levels 1..5, from just visible to very annoying.
      unit: what the parameter is.
      source: the kind in KADID-10k (K, by its number) or TID2013 (T).
    """

    apply: Apply
    parameters: tuple[float, float, float, float, float]
    unit: str
    source: str

    def __call__(
        self, image: UInt8[np.ndarray, "h w 3"] | Pixels, level: int, generator: np.random.Generator
    ) -> UInt8[np.ndarray, "h w 3"]:
        """Distort one picture.

        Args:
          image: uint8, or floating point in [0,1]; (h, w, 3) sRGB.
          level: 1 (just visible) to 5 (very annoying).
          generator: source of chance; only some kinds draw from it.

        Returns:
          uint8, same shape.

        Raises:
          ValueError: another shape or dtype, or a level outside 1..5.
        """
        if image.ndim != 3 or image.shape[-1] != 3:
            raise ValueError(f"distortion: expected an image (h, w, 3), got shape {image.shape}")
        if level not in range(1, 6):
            raise ValueError(f"distortion: level is an integer 1..5, got {level!r}")
        if image.dtype == np.uint8:
            pixels = image.astype(np.float32) / 255
        elif np.issubdtype(image.dtype, np.floating):
            pixels = image.astype(np.float32)
        else:
            raise ValueError(f"distortion: expected uint8 or floating-point pixels, got {image.dtype}")
        return _to_bytes(self.apply(pixels, self.parameters[level - 1], generator))


def _to_bytes(x: Pixels) -> UInt8[np.ndarray, "h w 3"]:
    return np.rint(np.clip(x, 0, 1) * 255).astype(np.uint8)


def _gaussian_blur(x: Pixels, sigma: float, _: np.random.Generator) -> Pixels:
    return ndimage.gaussian_filter(x, (sigma, sigma, 0), mode="reflect")


def _motion_blur(x: Pixels, length: float, generator: np.random.Generator) -> Pixels:
    """The mean along a straight line of random direction."""
    angle = generator.uniform(0, np.pi)
    radius = int(np.ceil(length / 2))
    steps = np.linspace(-length / 2, length / 2, 8 * radius)
    kernel = np.histogram2d(
        radius + steps * np.sin(angle), radius + steps * np.cos(angle), np.arange(2 * radius + 2) - 0.5
    )[0]
    padded = np.pad(x, ((radius, radius), (radius, radius), (0, 0)), mode="symmetric")
    return signal.fftconvolve(padded, kernel[..., None] / kernel.sum(), mode="valid", axes=(0, 1))


def _gaussian_noise(x: Pixels, sigma: float, generator: np.random.Generator) -> Pixels:
    return x + sigma * generator.standard_normal(x.shape, np.float32)


def _chroma_noise(x: Pixels, sigma: float, generator: np.random.Generator) -> Pixels:
    return x + sigma * generator.standard_normal((*x.shape[:2], 2), np.float32) @ _CHROMA_TO_RGB


def _impulse_noise(x: Pixels, share: float, generator: np.random.Generator) -> Pixels:
    draw = generator.random(x.shape, np.float32)
    return np.where(draw < share / 2, 0.0, np.where(draw < share, 1.0, x))


def _recode(x: Pixels, file_format: str, **options) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(_to_bytes(x)).save(buffer, file_format, **options)
    with Image.open(buffer) as decoded:
        return np.asarray(decoded.convert("RGB"), np.float32) / 255


def _jpeg(x: Pixels, quality: float, _: np.random.Generator) -> Pixels:
    return _recode(x, "JPEG", quality=int(quality))


def _jpeg2000(x: Pixels, ratio: float, _: np.random.Generator) -> Pixels:
    return _recode(x, "JPEG2000", quality_mode="rates", quality_layers=[ratio], irreversible=True)


def _webp(x: Pixels, quality: float, _: np.random.Generator) -> Pixels:
    # Beyond quality 0 the picture is coded at a smaller size, as services do for slow connections.
    height, width = x.shape[:2]
    shrink = max(1.0, 1.0 - quality / 10)
    small = Image.fromarray(_to_bytes(x)).resize((round(width / shrink), round(height / shrink)))
    coded = _recode(np.asarray(small, np.float32) / 255, "WEBP", quality=max(0, int(quality)))
    return np.asarray(Image.fromarray(_to_bytes(coded)).resize((width, height)), np.float32) / 255


def _pixelate(x: Pixels, block: float, _: np.random.Generator) -> Pixels:
    height, width = x.shape[:2]
    small = (max(1, round(width / block)), max(1, round(height / block)))
    image = Image.fromarray(_to_bytes(x)).resize(small, Image.Resampling.BOX)
    return np.asarray(image.resize((width, height), Image.Resampling.NEAREST), np.float32) / 255


def _desaturate(x: Pixels, keep: float, _: np.random.Generator) -> Pixels:
    luma = (x @ _LUMA)[..., None]
    return luma + keep * (x - luma)


def _colour_cast(x: Pixels, shift: float, generator: np.random.Generator) -> Pixels:
    angle = generator.uniform(0, 2 * np.pi)
    direction = np.array([np.cos(angle), np.sin(angle)], np.float32)
    return x + shift * (direction @ _CHROMA_TO_RGB)


def _low_contrast(x: Pixels, keep: float, _: np.random.Generator) -> Pixels:
    mean = x.mean((0, 1))
    return mean + keep * (x - mean)


def _exposure(x: Pixels, stops: float, _: np.random.Generator) -> Pixels:
    """A gain of 2^stops in linear light (IEC 61966-2-1), clipped as by a sensor."""
    linear = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear * 2.0**stops, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _posterise(x: Pixels, values: float, _: np.random.Generator) -> Pixels:
    return np.rint(x * (values - 1)) / (values - 1)


def _over_sharpen(x: Pixels, amount: float, _: np.random.Generator) -> Pixels:
    return x + amount * (x - ndimage.gaussian_filter(x, (1.2, 1.2, 0), mode="reflect"))


def _patches(x: Pixels, share: float, generator: np.random.Generator) -> Pixels:
    """Blocks replaced by their surroundings a few pixels away ("non-eccentricity pattern noise")."""
    height, width = x.shape[:2]
    side = max(2, min(height, width) // 14)
    result = x.copy()
    for _ in range(max(1, round(share * height * width / side**2))):
        top, left = generator.integers(0, (height - side + 1, width - side + 1))
        move = generator.integers(-side, side + 1, 2)
        from_top, from_left = np.clip(np.array([top, left]) + move, 0, (height - side, width - side))
        result[top : top + side, left : left + side] = x[from_top : from_top + side, from_left : from_left + side]
    return result


DISTORTIONS: dict[str, Distortion] = {
    "gaussian_blur": Distortion(_gaussian_blur, (0.7, 1.2, 2, 3.2, 5), "sigma in pixels", "K01, T08"),
    "motion_blur": Distortion(_motion_blur, (3, 6, 10, 16, 24), "length in pixels", "K03"),
    "gaussian_noise": Distortion(_gaussian_noise, (0.02, 0.04, 0.07, 0.12, 0.2), "standard deviation", "K11, T01"),
    "chroma_noise": Distortion(_chroma_noise, (0.03, 0.06, 0.1, 0.16, 0.25), "standard deviation", "K12, T02"),
    "impulse_noise": Distortion(_impulse_noise, (0.003, 0.01, 0.03, 0.07, 0.15), "share of values", "K13, T06"),
    "jpeg": Distortion(_jpeg, (40, 20, 12, 7, 3), "quality", "K10, T10"),
    "jpeg2000": Distortion(_jpeg2000, (24, 45, 80, 140, 240), "compression ratio", "K09, T11"),
    "webp": Distortion(_webp, (30, 10, 0, -10, -25), "quality; below 0 at a smaller size", "kind of T10"),
    "pixelate": Distortion(_pixelate, (2, 3, 4, 7, 12), "block side in pixels", "K21"),
    "desaturate": Distortion(_desaturate, (0.75, 0.55, 0.35, 0.17, 0), "share of chroma kept", "K07, T18"),
    "colour_cast": Distortion(_colour_cast, (0.02, 0.04, 0.065, 0.1, 0.15), "shift of Cb, Cr", "K05"),
    "low_contrast": Distortion(_low_contrast, (0.82, 0.68, 0.54, 0.4, 0.28), "share of contrast kept", "K25, T17"),
    "over_exposure": Distortion(_exposure, (0.4, 0.8, 1.3, 2, 2.8), "stops", "K16, T16"),
    "under_exposure": Distortion(_exposure, (-0.5, -1, -1.6, -2.3, -3.2), "stops", "K17, T16"),
    "posterise": Distortion(_posterise, (16, 9, 6, 4, 3), "values a channel", "K22, T07"),
    "over_sharpen": Distortion(_over_sharpen, (1, 2, 4, 7, 12), "gain of the unsharp mask", "K24"),
    "patches": Distortion(_patches, (0.03, 0.08, 0.18, 0.35, 0.6), "share of the area", "K20, T14"),
}
