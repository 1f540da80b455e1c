"""Decoding of image files to 8-bit sRGB, strict about damaged ones, the resize that all models share, pictures as text.
Sources: Pillow's decoders; W3C PNG (third edition) 13.12 for 16 to 8 bits; CIPA DC-008 (Exif) for orientation."""

import base64
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image, ImageFile

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".gif", ".jp2")

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

# Pillow decodes 16-bit colour PNG to its high bytes only. Read as little-endian (or as four bytes), the same data gives
# the low bytes as well: PNG raw mode -> (mode, raw modes of the high and low bytes).
_DEEP_PNG = {
    "RGB;16B": ("RGB", ("RGB;16B", "RGB;16L")),
    "RGBA;16B": ("RGBA", ("RGBA;16B", "RGBA;16L")),
    "LA;16B": ("RGBA", ("RGBA",)),
}


class ImageError(ValueError):
    """A file that cannot be read as a picture; one line that names the file and what is wrong with it."""


def read_image(path: str | os.PathLike[str]) -> UInt8[np.ndarray, "h w 3"]:
    """Decode a picture to 8-bit sRGB, upright.

    - PNG, JPEG, WebP and BMP; also whatever else Pillow opens (AVIF, TIFF, GIF, JPEG 2000).
    - The Exif orientation is applied: models were trained on upright photos.
    - Grey, 1-bit, palette and CMYK become RGB; 16 bits become 8 by round(x / 257), for PNG in colour too.
    - Transparency is composited on white, the page that such pictures are drawn for and shown on. Black would darken
      soft edges and read as under-exposure; dropping alpha would show colours that nobody sees.
    - Of an animation the first frame is taken.
    - Embedded colour profiles are not applied: the published models and scores were computed without.

    Args:
      path: file.

    Returns:
      uint8 (h, w, 3).

    Raises:
      ImageError: missing, a folder, empty, no picture, truncated, damaged, of size zero, deeper than 16 bits, or over
        Pillow's limit against decompression bombs (`PIL.Image.MAX_IMAGE_PIXELS`).
    """
    path = Path(path)
    if not path.exists():
        raise ImageError(f"{path}: no such file")
    if path.is_dir():
        raise ImageError(f"{path}: is a folder, not an image file")
    return _read(path, path)


def decode_image(data: bytes, name: str) -> UInt8[np.ndarray, "h w 3"]:
    """As `read_image` of a file with these bytes.

    Args:
      data: the file's contents.
      name: what errors call it.

    Raises:
      ImageError: as `read_image`.
    """
    return _read(data, name)


def _open(source: Path | bytes) -> ImageFile.ImageFile:
    return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)


def _read(source: Path | bytes, path: Path | str) -> UInt8[np.ndarray, "h w 3"]:
    try:
        if (len(source) if isinstance(source, bytes) else source.stat().st_size) == 0:
            raise ImageError(f"{path}: the file is empty (0 bytes); copy or download it again")
        with _open(source) as image:
            return _decode(image, source, path)
    except ImageError:
        raise
    except PermissionError as error:
        raise ImageError(f"{path}: no permission to read this file") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"{path}: {_TOO_LARGE}") from error
    except Image.UnidentifiedImageError as error:
        raise ImageError(
            f"{path}: not an image, or cut off near its start; give a whole PNG, JPEG, WebP or BMP file"
        ) from error
    except Exception as error:  # Pillow's decoders raise whatever a damaged file makes them stumble over
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{path}: truncated or damaged ({reason}); copy or download it again") from error


_TOO_LARGE = (
    f"more than {(Image.MAX_IMAGE_PIXELS or 0) // 10**6} megapixels, Pillow's limit against decompression bombs; "
    "scale it down, or raise PIL.Image.MAX_IMAGE_PIXELS if you trust the file"
)


def _decode(image: ImageFile.ImageFile, source: Path | bytes, path: Path | str) -> UInt8[np.ndarray, "h w 3"]:
    if min(image.size) == 0:
        raise ImageError(f"{path}: the picture has no pixels ({image.width} x {image.height})")
    if Image.MAX_IMAGE_PIXELS is not None and image.width * image.height > Image.MAX_IMAGE_PIXELS:
        raise ImageError(f"{path}: {_TOO_LARGE}")
    if image.mode in ("F", "I"):
        raise ImageError(f"{path}: pixels of 32 bits (mode {image.mode}); save it with 8 or 16 bits a channel")
    deep = _deep_png(image, source)  # before Exif: reading that of a PNG loads the picture and empties its tile list
    orientation = _orientation(image)
    if deep is not None:
        pixels = _flatten(deep.astype(np.float64) / 65535)
    elif image.mode.startswith("I;16"):
        grey = np.asarray(image).astype(np.float64)[..., None]
        key = image.info.get("transparency")
        alpha = np.ones_like(grey) if key is None else (grey != key).astype(np.float64)
        pixels = _flatten(np.concatenate([grey / 65535, alpha], axis=-1))
    elif image.has_transparency_data:
        pixels = _flatten(np.asarray(image.convert("RGBA")) / 255)
    else:
        pixels = np.asarray(image.convert("RGB"))
    return np.ascontiguousarray(_UPRIGHT.get(orientation, lambda a: a)(pixels))


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:  # damaged Exif says nothing about the pixels, which Pillow checks by itself
        return 1


def _deep_png(image: ImageFile.ImageFile, source: Path | bytes) -> np.ndarray | None:
    """All 16 bits of a colour or grey-alpha PNG as (h, w, 2 | 3 | 4); None for any other picture."""
    if image.format != "PNG" or not image.tile or image.tile[0].args not in _DEEP_PNG:
        return None
    mode, raw_modes = _DEEP_PNG[str(image.tile[0].args)]
    key = image.info.get("transparency")
    parts = []
    for raw_mode in raw_modes:
        with _open(source) as part:
            part._mode = mode  # pyright: ignore[reportAttributeAccessIssue]
            part.tile = [part.tile[0]._replace(args=raw_mode)]
            part.load()
            parts.append(np.array(part, dtype=np.uint16))
    if len(parts) == 1:  # grey and alpha, two bytes each
        return parts[0][..., 0::2] * 256 + parts[0][..., 1::2]
    deep = parts[0] * 256 + parts[1]
    if isinstance(key, tuple) and deep.shape[-1] == 3:
        alpha = np.where((deep == np.array(key)).all(-1, keepdims=True), 0, 65535).astype(np.uint16)
        deep = np.concatenate([deep, alpha], axis=-1)
    return deep


def _flatten(pixels: np.ndarray) -> UInt8[np.ndarray, "h w 3"]:
    """Grey-alpha, RGB or RGBA in [0,1] on white, rounded to 8 bits."""
    colour = pixels
    if pixels.shape[-1] in (2, 4):
        alpha = pixels[..., -1:]
        colour = pixels[..., :-1] * alpha + (1 - alpha)
    return np.broadcast_to(np.rint(colour * 255).astype(np.uint8), (*pixels.shape[:2], 3))


def resize_image(image: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Resize by Pillow's bilinear filter, which widens its support when it shrinks (antialias).

    Args:
      image: uint8 (h, w, 3).
      size: (height, width), each at least 1. The image itself comes back when it already has this size.

    Raises:
      ValueError: not uint8 (h, w, 3), or a side below 1.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3:
        raise ValueError(f"resize_image: expected uint8 (h, w, 3), got {image.dtype} {image.shape}")
    height, width = size
    if min(height, width) < 1:
        raise ValueError(f"resize_image: size is (height, width) in pixels, each at least 1, got {tuple(size)}")
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
