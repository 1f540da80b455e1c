"""Training batches from a PhotoSet: shuffled, resized, batched and prefetched by grain; position restorable exactly.
Batch i is a pure function of (photo set, seed, i), so a resumed run sees what the uninterrupted one would have seen."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from jaxtyping import Float, Float32, UInt8, UInt16

from robust_iqa_jax.data.batches import padded_batches
from robust_iqa_jax.data.images import at_size
from robust_iqa_jax.data.photo_set import PhotoSet
from robust_iqa_jax.setting_error import SettingError, setting

if TYPE_CHECKING:
    import grain

Augment = Callable[[np.ndarray, np.random.Generator], np.ndarray]
Batches: TypeAlias = "grain.DatasetIterator[dict[str, Any]]"

CACHE_BYTES = 4 << 30
"""Memory for photos that were read once."""
FINE = 257
"""Steps of 16 bits in one grey level."""


def resized(photos: PhotoSet, size: tuple[int, int]) -> Callable[[int], Float32[np.ndarray, "h w 3"]]:
    """Loader of photo i at this size in grey levels 0..255, which remembers photos while CACHE_BYTES last."""
    memory: dict[int, np.ndarray] = {}
    room = CACHE_BYTES

    def load(i: int) -> np.ndarray:
        nonlocal room
        photo = memory.get(i)
        if photo is None:
            photo = stored(photos.load(i), size)
            if photo.nbytes <= room:
                room -= photo.nbytes
                memory[i] = photo
        return grey_levels(photo)

    return load


def stored(
    pixels: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]
) -> UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h1 w1 3"]:
    """A photo at this size as it is kept in memory: itself where the size is its own, and else `at_size` of it in 16
    bits, which move a score by less than 1e-4 of the range."""
    if pixels.shape[:2] == size:
        return pixels
    return np.rint(255 * FINE * at_size(pixels, size)).astype(np.uint16)


def grey_levels(photo: UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "h w 3"]:
    """What `stored` gives as float32 grey levels 0..255, the same whatever it is kept in."""
    return photo.astype(np.float32) / np.float32(FINE if photo.dtype == np.uint16 else 1)


def crop_and_flip(size: tuple[int, int], crop: int | None, flip: bool, vertical: bool = False) -> Augment:
    """Augmentation of (h, w, c) photos: a random square of side `crop` (None: whole), mirrored half of the time.

    A pair (2, h, w, c) is a map of a photo and the map of its mirror image: there one of the two is taken, and nothing
    is turned upside down.

    Args:
      size: (h, w).
      crop: side.
      flip: whether to mirror left to right.
      vertical: whether to mirror upside down as well, independently.

    Raises:
      ValueError: a crop larger than the size.
    """
    if crop is not None and not 1 <= crop <= min(size):
        raise SettingError(f"{setting('crop')} {crop}: must lie in 1..{min(size)}, the shorter side of what is cropped")

    def augment(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        mirror = flip and rng.random() < 0.5
        if image.ndim == 4:
            image = image[int(mirror)]
        elif mirror:
            image = image[:, ::-1]
        if vertical and rng.random() < 0.5:
            image = image[::-1]
        if crop is None:
            return image
        top, left = (int(rng.integers(side - crop + 1)) for side in size)
        return image[top : top + crop, left : left + crop]

    return augment


def training_batches(
    load: Callable[[int], np.ndarray],
    scores: Float[np.ndarray, " n"],
    batch_size: int,
    seed: int,
    augment: Augment,
    threads: int = 2,
    part: tuple[int, int] = (0, 1),
    times: Sequence[int] = (),
) -> Batches:
    """Endless batches {"inputs": (b, ...), "scores": float32 (b,)}, reshuffled every epoch.

    Args:
      load: index -> what one photo gives, the same shape for all.
      scores: (n,) of the photos.
      batch_size: b; batches are always full and may span two epochs.
      seed: of order and augmentation.
      augment: (what `load` gives, generator of this photo and epoch) -> one input.
      threads: reading threads.
      part: (i, n): of every batch only the i-th of n equal parts, for process i of n. All processes together read each
        photo once and see what one process would.
      times: how often an epoch takes each photo; () for once each.

    Returns:
      iterator with `get_state` and `set_state`.

    Raises:
      ValueError: fewer photos than a batch, or a batch that has no n equal parts.
    """
    import grain

    process, processes = part
    if batch_size % processes:
        raise SettingError(f"{setting('batch_size')} {batch_size}: no multiple of the {processes} processes")
    check_batch_size(len(scores), batch_size)

    order = np.repeat(np.arange(len(scores)), times or 1).tolist()

    def read(i: int, rng: np.random.Generator) -> dict[str, Any]:
        return {"inputs": augment(load(i), rng), "scores": np.float32(scores[i])}

    dataset = grain.MapDataset.source(order).seed(seed).shuffle().repeat().random_map(read)
    parts = dataset.batch(batch_size // processes, drop_remainder=True)
    batched = parts if processes == 1 else parts.slice(slice(process, None, processes))
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=4 * threads)
    return iter(batched.to_iter_dataset(options))


def check_batch_size(count: int, batch_size: int) -> None:
    """Raise ValueError where `count` photos do not fill one batch."""
    if count < batch_size:
        cure = f"lower {setting('batch_size')}"
        raise SettingError(f"{count} training photos do not fill a batch of {batch_size}; {cure}")


def evaluation_batches(photos: PhotoSet, size: tuple[int, int], batch_size: int) -> Iterator[tuple[np.ndarray, int]]:
    """All photos once, in order, as `at_size` gives them: (batch_size, h, w, 3) and how many of them count; the last
    batch is padded by repeating its last photo, so that every batch has one shape."""
    return padded_batches((at_size(photos.load(i), size) for i in range(len(photos))), batch_size)
