"""Decoding of image files to sRGB pixels, strict about damaged ones, photos at a model's size, pictures as text.
Sources: Pillow's decoders; W3C PNG (third edition) 13.12 for 16 to 8 bits; CIPA DC-008 (Exif) for orientation."""

import base64
import io
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image, ImageFile

from robust_iqa_jax.data.file_kinds import HEAD, image_kind, other_kind
from robust_iqa_jax.data.whole_image import DamagedImage, TooManyPixels, check_whole

IMAGE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".gif", ".jp2"),
    *(".ppm", ".pgm", ".pbm"),
)
MAX_FILE_BYTES = 1 << 30
"""Larger files are refused: a file is held in memory while it is checked."""

_EXIF_ORIENTATION = 0x0112
_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[:, ::-1],
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a.swapaxes(0, 1)[::-1],
}

# Pillow decodes 16-bit colour to the high bytes only. Read in the other byte order (or as four bytes), the same data
# gives the low bytes as well: raw mode -> (mode, raw modes of the high and low bytes).
_SWAPPED = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
_DEEP: dict[str, tuple[str, tuple[str, ...]]] = {
    **{
        f"{mode};16{order}": (mode, (f"{mode};16{order}", f"{mode};16{swapped}"))
        for mode in ("RGB", "RGBA", "RGBX")
        for order, swapped in _SWAPPED.items()
    },
    "LA;16B": ("RGBA", ("RGBA",)),
}
_BITS, _COMPRESSION, _PHOTOMETRIC, _PLANES, _SAMPLE_FORMAT = 258, 259, 262, 284, 339
_PLACES = ((273, 279), (324, 325))
"""Tags of TIFF."""
_WHITE_IS_ZERO, _YCBCR, _JPEG, _APART, _UNSIGNED = 0, 6, (6, 7), 2, 1
"""Their values."""
_BAND = 256
"""Rows that are composited at a time, so that wide arithmetic needs little memory."""


class ImageError(ValueError):
    """A file that cannot be read as a picture; one line that names the file and what is wrong with it."""


@dataclass(frozen=True)
class Picture:
    """A decoded file.

    Attributes:
      pixels: 8-bit sRGB, upright.
      more: whether the file holds further pictures, which were not decoded: an animation, several pages.
    """

    pixels: UInt8[np.ndarray, "h w 3"]
    more: bool


def read_image(path: str | os.PathLike[str]) -> Float32[np.ndarray, "h w 3"]:
    """Decode a picture to what a scorer takes: `scorer(read_image(path)[None])`.

    As `read_pixels`, which says what is read and how, as float32 in [0,1].

    Raises:
      ImageError: as `read_pixels`.
    """
    return to_float(read_pixels(path))


def read_images(paths: Iterable[str | os.PathLike[str]], size: tuple[int, int]) -> Float32[np.ndarray, "n h w 3"]:
    """Decode pictures to one batch of a size, as a scorer with this input size sees them: `scorer(read_images(...))`.

    Args:
      paths: files; for more than memory holds see `evaluation.photo_scores`.
      size: (height, width), such as a scorer's `spec.input_size`.

    Returns:
      float32 (n, height, width, 3) in [0,1].

    Raises:
      ImageError: as `read_pixels`.
      ValueError: no path, a path alone, a size that is none.
    """
    if isinstance(paths, (str, os.PathLike)):
        raise ValueError(f"read_images: several paths expected, got one, {os.fspath(paths)!r}; write [path]")
    if not (isinstance(size, (tuple, list)) and len(size) == 2):
        raise ValueError(f"read_images: size is (height, width) in pixels, such as (384, 384), got {size!r}")
    photos = [at_size(read_pixels(path), (int(size[0]), int(size[1]))) for path in paths]
    if not photos:
        raise ValueError("read_images: no paths; give one or more")
    return np.stack(photos)


def read_pixels(path: str | os.PathLike[str]) -> UInt8[np.ndarray, "h w 3"]:
    """Decode a picture to 8-bit sRGB, upright.

    - PNG, JPEG, WebP, BMP, TIFF, GIF, AVIF, JPEG 2000 and PPM, told by their contents and not by their names. Nothing
      else is opened, so that no decoder that runs other programs is ever reached.
    - Files are checked before they are decoded (`whole_image.check_whole`): every checksum of a PNG, truncation of all.
      Other formats have no checksums of their pixels, so wrong bits there can pass.
    - The Exif orientation is applied: models were trained on upright photos. XMP's is where there is no Exif one.
    - Grey, 1-bit, palette and CMYK become RGB; 16 bits become 8 by round(x / 257), 12 by round(x / 16.06).
    - Transparency is composited on white, the page that such pictures are drawn for and shown on. Black would darken
      soft edges and read as under-exposure; dropping alpha would show colours that nobody sees.
    - Of an animation or several pages the first is taken.
    - Embedded colour profiles and gamma are not applied: the published models and scores were computed without.

    Args:
      path: file.

    Returns:
      uint8 (h, w, 3).

    Raises:
      ImageError: missing, a folder, empty, no picture, truncated, damaged, of size zero, deeper than 16 bits, over
        MAX_FILE_BYTES or over Pillow's limit against decompression bombs (`PIL.Image.MAX_IMAGE_PIXELS`).
    """
    return read_picture(path).pixels


def read_picture(path: str | os.PathLike[str]) -> Picture:
    """As `read_pixels`, with what else the file says of itself.

    Raises:
      ImageError: as `read_pixels`.
    """
    check_path(path)
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror})") from error
    return _read(data, str(path))


def decode_image(data: bytes, name: str) -> UInt8[np.ndarray, "h w 3"]:
    """As `read_pixels` of a file with these bytes.

    Args:
      data: the file's contents.
      name: what errors call it.

    Raises:
      ImageError: as `read_pixels`.
    """
    return _read(data, name).pixels


def check_path(path: str | os.PathLike[str]) -> None:
    """Raise ImageError where a path leads to no image: what the file system and the first bytes tell, at no cost."""
    try:
        if not os.path.exists(path):
            raise ImageError(f"{path}: no such file")
        if os.path.isdir(path):
            raise ImageError(f"{path}: is a folder, not an image file")
        if not os.path.isfile(path):
            raise ImageError(f"{path}: is no regular file")
        with open(path, "rb") as file:
            head = file.read(HEAD)
    except PermissionError as error:
        raise ImageError(f"{path}: no permission to read this file") from error
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror})") from error
    _kind(head, str(path))


def _kind(head: bytes, name: str) -> str:
    if not head:
        raise ImageError(f"{name}: the file is empty (0 bytes); copy or download it again")
    kind = image_kind(head)
    if kind is None:
        what = other_kind(head)
        raise ImageError(
            f"{name}: not an image, or cut off near its start; give a whole PNG, JPEG, WebP, BMP or TIFF file"
            if what is None
            else f"{name}: not an image but {what}"
        )
    return kind


def _read(data: bytes, name: str) -> Picture:
    kind = _kind(data[:HEAD], name)
    if len(data) > MAX_FILE_BYTES:
        raise ImageError(f"{name}: larger than {MAX_FILE_BYTES >> 20} MiB; save it smaller")
    try:
        check_whole(data, kind, Image.MAX_IMAGE_PIXELS)
        with _open(data, kind) as image:
            return _decode(image, data, kind, name)
    except ImageError:
        raise
    except (TooManyPixels, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"{name}: {_too_large()}") from error
    except DamagedImage as error:
        raise ImageError(f"{name}: truncated or damaged: {error}; copy or download it again") from error
    except Image.UnidentifiedImageError as error:
        raise ImageError(f"{name}: damaged, or a kind of {kind} that is not read; save it as 8-bit PNG") from error
    except MemoryError as error:
        raise ImageError(f"{name}: needs more memory than there is; save it smaller") from error
    except Exception as error:  # Pillow's decoders raise whatever a damaged file makes them stumble over
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{name}: truncated or damaged ({reason}); copy or download it again") from error


def _open(data: bytes, kind: str) -> ImageFile.ImageFile:
    return Image.open(io.BytesIO(data), formats=[kind])


def _too_large() -> str:
    return (
        f"more than {(Image.MAX_IMAGE_PIXELS or 0) // 10**6} megapixels, Pillow's limit against decompression bombs; "
        "scale it down, or raise PIL.Image.MAX_IMAGE_PIXELS if you trust the file"
    )


def _decode(image: ImageFile.ImageFile, data: bytes, kind: str, name: str) -> Picture:
    if min(image.size) == 0:
        raise ImageError(f"{name}: the picture has no pixels ({image.width} x {image.height})")
    if Image.MAX_IMAGE_PIXELS is not None and image.width * image.height > Image.MAX_IMAGE_PIXELS:
        raise ImageError(f"{name}: {_too_large()}")
    if kind == "TIFF":
        _check_tiff(image, len(data), name)
    if image.mode in ("F", "I") and kind != "PPM":
        raise ImageError(f"{name}: pixels of 32 bits (mode {image.mode}); save it with 8 or 16 bits a channel")
    # A preview or a gain map beside a JPEG is no second photo.
    more = bool(getattr(image, "is_animated", False)) and kind != "JPEG"
    # Before the picture is loaded, which empties its list of tiles.
    deep = _deep(image, data, kind)
    if deep is not None:
        pixels = _on_white(deep, 65535)
        image.load()
    elif image.mode.startswith("I"):
        pixels = _on_white(*_deep_grey(image))
    elif image.has_transparency_data:
        if kind == "PNG":
            _scale_key(image, depth=data[24])
        pixels = _on_white(np.asarray(image.convert("RGBA")), 255)
    else:
        pixels = np.asarray(image.convert("RGB"))
    # After the picture is loaded: a TIFF is turned by then and has lost its tag, a PNG's may stand behind its pixels.
    return Picture(np.ascontiguousarray(_UPRIGHT.get(_orientation(image), lambda a: a)(pixels)), more)


def _check_tiff(image: Any, length: int, name: str) -> None:
    """Refuse what Pillow would decode to other pixels than those that are meant."""
    tags = image.tag_v2
    for offsets, counts in _PLACES:
        if any(sum(place) > length for place in zip(tags.get(offsets, ()), tags.get(counts, ()), strict=False)):
            raise DamagedImage("it ends within its pixels")
    bits = max(tags.get(_BITS, (1,)))
    colour, compression = tags.get(_PHOTOMETRIC), tags.get(_COMPRESSION, 1)
    reason = None
    if any(kind != _UNSIGNED for kind in tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))):
        reason = f"pixels of {bits} bits that are signed or no integers"
    elif image.mode == "LAB" or (colour == _YCBCR and compression not in _JPEG):
        reason = f"colours in {'Lab' if image.mode == 'LAB' else 'YCbCr without JPEG'}"
    elif bits > 8 and tags.get(_PLANES) == _APART:
        reason = f"{bits} bits a channel, one channel after the other"
    if reason is not None:
        raise ImageError(f"{name}: a TIFF with {reason}, which is not read; save it with 8 or 16 bits as RGB or grey")


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:  # damaged Exif says nothing about the pixels, which Pillow checks by itself
        return 1


def _deep(image: ImageFile.ImageFile, data: bytes, kind: str) -> np.ndarray | None:
    """All 16 bits of a colour or grey-alpha PNG or TIFF as uint16 (h, w, 2 | 3 | 4); None for any other picture."""
    raw = {_raw_mode(tile) for tile in image.tile}
    if kind not in ("PNG", "TIFF") or len(raw) != 1 or not raw <= _DEEP.keys():
        return None
    mode, raw_modes = _DEEP[raw.pop()]
    key = image.info.get("transparency")
    parts = []
    for raw_mode in raw_modes:
        with _open(data, kind) as part:
            part._mode = mode  # pyright: ignore[reportAttributeAccessIssue]
            part.tile = [_with_raw_mode(tile, raw_mode) for tile in part.tile]
            part.load()
            parts.append(np.array(part, dtype=np.uint16))
    if len(parts) == 1:  # grey and alpha, two bytes each
        return parts[0][..., 0::2] * 256 + parts[0][..., 1::2]
    deep = parts[0] * 256 + parts[1]
    if mode == "RGBX":
        return deep[..., :3]
    if isinstance(key, tuple) and deep.shape[-1] == 3:
        alpha = np.where((deep == np.array(key)).all(-1, keepdims=True), 0, 65535).astype(np.uint16)
        deep = np.concatenate([deep, alpha], axis=-1)
    return deep


def _scale_key(image: Image.Image, depth: int) -> None:
    """Pillow expands grey of 2 and 4 bits to 8, but not the transparent grey that a PNG names."""
    key = image.info.get("transparency")
    if image.mode == "L" and isinstance(key, int) and key < 1 << depth < 256:
        image.info["transparency"] = key * 255 // ((1 << depth) - 1)


def _raw_mode(tile: Any) -> str:
    return str(tile.args[0] if isinstance(tile.args, tuple) else tile.args)


def _with_raw_mode(tile: Any, raw_mode: str) -> Any:
    return tile._replace(args=(raw_mode, *tile.args[1:]) if isinstance(tile.args, tuple) else raw_mode)


def _deep_grey(image: ImageFile.ImageFile) -> tuple[np.ndarray, int]:
    """Grey of more than 8 bits as (h, w, 1), with alpha (h, w, 2), and its white."""
    tags: Any = getattr(image, "tag_v2", {})
    white = (1 << tags.get(_BITS, (16,))[0]) - 1
    grey = np.asarray(image)[..., None]
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:  # which Pillow heeds up to 8 bits only
        grey = white - grey
    key = image.info.get("transparency")
    if key is None:
        return grey, white
    return np.concatenate([grey, np.where(grey == key, 0, white).astype(grey.dtype)], axis=-1), white


def _on_white(pixels: np.ndarray, white: int) -> UInt8[np.ndarray, "h w 3"]:
    """Integer grey, RGB, or one of them with alpha, 0..white, composited on white and rounded to 8 bits."""
    flat = np.empty((*pixels.shape[:2], 3), np.uint8)
    for top in range(0, len(pixels), _BAND):
        band = pixels[top : top + _BAND] / white
        if pixels.shape[-1] in (2, 4):
            alpha = band[..., -1:]
            band = band[..., :-1] * alpha + (1 - alpha)
        flat[top : top + _BAND] = np.rint(band * 255)
    return flat


def at_size(pixels: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]) -> Float32[np.ndarray, "h2 w2 3"]:
    """A photo at the size that a model sees, in [0,1]: `functional.resize.resize` of it to float32's rounding, without
    a program for each size of photo.

    Everything that scores, attacks or evaluates a photo by its file gets it from here, so that it has one score. That
    of a photo resized to 8 bits differs: by .014 of the range of scores on average over 20 photos, by .06 at most
    (EfficientNet-Lite0, 500 x 500 pixels to 384 x 384).

    Args:
      pixels: as decoded.
      size: (height, width), each at least 1.

    Raises:
      ValueError: not uint8 (h, w, 3), or a side below 1.
    """
    _check_resize("at_size", pixels, size)
    if pixels.shape[:2] == size:
        return to_float(pixels)
    shape = size[1], size[0]
    # Pillow resizes floats one channel at a time: its filter, summed in float64 and not rounded to 8 bits
    channels = [Image.fromarray(channel).convert("F") for channel in np.ascontiguousarray(np.moveaxis(pixels, -1, 0))]
    resized = [np.asarray(channel.resize(shape, Image.Resampling.BILINEAR)) for channel in channels]
    return np.stack(resized, axis=-1) / np.float32(255)


def _check_resize(who: str, pixels: np.ndarray, size: tuple[int, int]) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[-1] != 3:
        raise ValueError(f"{who}: expected uint8 (h, w, 3), got {pixels.dtype} {pixels.shape}")
    if min(size) < 1:
        raise ValueError(f"{who}: size is (height, width) in pixels, each at least 1, got {tuple(size)}")


def resize_image(image: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Resize a photo to 8 bits, for photos that are made and stored so; models get theirs from `at_size`.

    Args:
      image: uint8 (h, w, 3).
      size: (height, width), each at least 1. The image itself comes back when it already has this size.

    Raises:
      ValueError: not uint8 (h, w, 3), or a side below 1.
    """
    _check_resize("resize_image", image, size)
    height, width = size
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def data_uri(image: UInt8[np.ndarray, "h w 3"], kind: Literal["PNG", "JPEG"], **options: Any) -> str:
    """A picture as text that a web page can hold (RFC 2397); options as Pillow's `save` takes them."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"


def to_float(image: UInt8[np.ndarray, "*batch h w c"]) -> Float32[np.ndarray, "*batch h w c"]:
    """8-bit pixels as float32 in [0,1]: x / 255.

    Raises:
      ValueError: not uint8, which would be scaled twice.
    """
    if image.dtype != np.uint8:
        raise ValueError(f"to_float: expected uint8 pixels 0..255, got {image.dtype}")
    return image.astype(np.float32) / np.float32(255)
