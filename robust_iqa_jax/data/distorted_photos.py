"""The embedded set `distorted-photos`: real photos from installed wheels, distorted here, labelled by a formula.
Sources: photos of scikit-image and scikit-learn; MS-SSIM (Wang et al. 2003); CIEDE2000 (Sharma, Wu, Dalal 2005)."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float64, UInt8
from scipy import ndimage

from robust_iqa_jax.data.distortions import DISTORTIONS
from robust_iqa_jax.data.images import read_pixels, resize_image
from robust_iqa_jax.data.photo_set import PhotoSet
from robust_iqa_jax.extras import package_folder, require
from robust_iqa_jax.functional.ssim import ms_ssim

LABEL_MEASURE = "100 * MS-SSIM(luma)^8 * exp(-mean CIEDE2000 of the blurred pair / 20)"

# All colour photos that the two wheels hold (not the drawings, microscopy, the retina scan, nor the second picture of
# the motorcycle's stereo pair): name -> (package, file, group).
PHOTOS = {
    "astronaut": ("skimage", "data/astronaut.png", "train"),
    "chelsea": ("skimage", "data/chelsea.png", "train"),
    "hubble": ("skimage", "data/hubble_deep_field.jpg", "train"),
    "motorcycle": ("skimage", "data/motorcycle_left.png", "train"),
    "rocket": ("skimage", "data/rocket.jpg", "train"),
    "flower": ("sklearn", "datasets/images/flower.jpg", "train"),
    "coffee": ("skimage", "data/coffee.png", "test"),
    "china": ("sklearn", "datasets/images/china.jpg", "test"),
}
CROPS = 5
SIZES = range(176, 301)


def distorted_photos(
    size: int = 224, seed: int = 0, *, on_progress: Callable[[int, int], None] | None = None
) -> PhotoSet:
    """Build the set: 8 photos x 5 crops x (the pristine crop + 17 kinds of distortion at 2 of 5 levels) = 1,400 images.

    - Crop 0 is the middle of the photo scaled down to the crop's size; crops 1..4 keep the photo's own pixels, one from
      each quarter. Within a photo each kind comes at each level exactly twice.
    - `groups` is "train" (six photos) or "test" (coffee, china): no photo is in both.
    - `names` are PHOTO-cropC-KIND-LEVEL, and PHOTO-cropC-pristine-0.
    - `scores` are no human opinions: `label` is "pseudo_mos", computed by `pseudo_mos`. A model trained on them learns
      what this formula sees.

    Nothing is downloaded, nothing is written to disk. The images are held in memory (1,400 size^2 * 3 bytes, 211 MB at
    224) and are read-only.

    Args:
      size: side of the square crops in pixels: 176 (MS-SSIM has five scales) to 300 (the smallest photo's height).
      seed: of crop positions and distortions. Everything depends on it and on the place in the set alone.
      on_progress: called with (crops done, crops in all).

    Raises:
      ValueError: size out of range.
      ImageError: a wheel lacks a photo.
    """
    if size not in SIZES:
        raise ValueError(f"distorted_photos: size is {SIZES[0]}..{SIZES[-1]} pixels, got {size}")
    require("the embedded photos", "skimage", "sklearn")
    plan = [(photo, crop) for photo in range(len(PHOTOS)) for crop in range(CROPS)]
    originals = [embedded_photo(name) for name in PHOTOS]

    def build(place: tuple[int, int]) -> tuple[list[str], UInt8[np.ndarray, "k h w 3"], Float64[np.ndarray, " k"]]:
        photo, crop = place
        pristine = _crop(originals[photo], crop, size, np.random.default_rng([seed, photo, crop]))
        names, images = [f"{list(PHOTOS)[photo]}-crop{crop}-pristine-0"], [pristine]
        for number, (kind, distortion) in enumerate(DISTORTIONS.items()):
            for level in _levels(crop, number):
                generator = np.random.default_rng([seed, photo, crop, number, level])
                names.append(f"{list(PHOTOS)[photo]}-crop{crop}-{kind}-{level}")
                images.append(distortion(pristine, level, generator))
        batch = np.stack(images)
        batch.setflags(write=False)
        return names, batch, pseudo_mos(pristine, batch)

    built = []
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for done, part in enumerate(pool.map(build, plan), start=1):
            built.append(part)
            if on_progress is not None:
                on_progress(done, len(plan))
    splits = [group for _, _, group in PHOTOS.values()]
    return PhotoSet(
        names=tuple(name for names, _, _ in built for name in names),
        scores=np.concatenate([scores for _, _, scores in built]),
        label="pseudo_mos",
        load=_InMemory(tuple(image for _, batch, _ in built for image in batch)),
        groups=tuple(splits[photo] for (photo, _), (names, _, _) in zip(plan, built, strict=True) for _ in names),
    )


def pseudo_mos(pristine: UInt8[np.ndarray, "h w 3"], images: UInt8[np.ndarray, "n h w 3"]) -> Float64[np.ndarray, " n"]:
    """A full-reference stand-in for opinion scores: 100 for the pristine photo, towards 0 for a ruined one.

        100 * m^8 * exp(-d / 20)

    m is the MS-SSIM of the luma (BT.601): blur, noise, coding artefacts, contrast. It sees no colour and little of a
    change of brightness, so d is the mean CIEDE2000 difference, in units of a just noticeable one, after a Gaussian
    blur of sigma 2 (taken at every fourth pixel), as pixels blend at a distance: casts, saturation, exposure. The
    constants were chosen so that just visible distortions (level 1) lie above about 70, that the strongest of most
    kinds lie below 30, and that scores spread over the range; they are fitted to no human scores.

    Args:
      pristine: the reference, uint8 sRGB, sides of 176 pixels or more.
      images: its distorted versions.

    Returns:
      (n,) in [0, 100], rounded to 2 decimals: beyond them machines differ.

    Raises:
      ValueError: a side below 176 pixels.
    """
    from skimage import color

    references = np.broadcast_to(pristine, images.shape)
    structure = np.clip(np.asarray(_luma_ms_ssim(references, images), np.float64), 0, 1)
    difference = color.deltaE_ciede2000(_blurred_lab(pristine[None]), _blurred_lab(images)).mean((1, 2))
    return np.round(100 * structure**8 * np.exp(-difference / 20), 2)


@jax.jit
def _luma_ms_ssim(x: UInt8[Array, "n h w 3"], y: UInt8[Array, "n h w 3"]) -> Float[Array, " n"]:
    return ms_ssim(_luma(x), _luma(y))


def _luma(x: UInt8[Array, "n h w 3"]) -> Float[Array, "n h w 1"]:
    red, green, blue = (x[..., i : i + 1].astype(jnp.float32) / 255 for i in range(3))
    return 0.299 * red + 0.587 * green + 0.114 * blue


def _blurred_lab(images: UInt8[np.ndarray, "n h w 3"]) -> Float[np.ndarray, "n h2 w2 3"]:
    from skimage import color

    rows = ndimage.gaussian_filter1d(images.astype(np.float32) / 255, 2.0, axis=1)[:, 2::4]
    return color.rgb2lab(ndimage.gaussian_filter1d(rows, 2.0, axis=2)[:, :, 2::4])


def _levels(crop: int, kind: int) -> tuple[int, int]:
    """Two levels that run through all five over a photo's crops."""
    return (crop + kind) % 5 + 1, (crop + kind + 2) % 5 + 1


def _crop(
    photo: UInt8[np.ndarray, "h w 3"], crop: int, size: int, generator: np.random.Generator
) -> UInt8[np.ndarray, "s s 3"]:
    height, width = photo.shape[:2]
    if crop == 0:
        scale = size / min(height, width)
        photo = resize_image(photo, (max(size, round(height * scale)), max(size, round(width * scale))))
        top, left = (photo.shape[0] - size) // 2, (photo.shape[1] - size) // 2
    else:
        quarter = np.array(divmod(crop - 1, 2))
        room = np.array([height - size, width - size])
        top, left = np.rint(room * (quarter + generator.random(2)) / 2).astype(int)
    return photo[top : top + size, left : left + size]


def embedded_photo(name: str) -> UInt8[np.ndarray, "h w 3"]:
    """One of PHOTOS as its wheel has it, undistorted.

    Args:
      name: such as "coffee".

    Raises:
      ImageError: its wheel lacks it.
    """
    package, file, _ = PHOTOS[name]
    return read_pixels(package_folder(f"the photo {name}", package) / file)


@dataclass(frozen=True)
class _InMemory:
    """A class and not a closure: worker processes of an input pipeline must be able to pickle it."""

    images: tuple[UInt8[np.ndarray, "h w 3"], ...]

    def __call__(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
        return self.images[index]
