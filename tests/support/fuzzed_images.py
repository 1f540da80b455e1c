"""Decodes damaged image files in a process of its own, whose memory is limited: `python fuzzed_images.py COUNT SEED`.
Prints how many were decoded and refused; whatever else happens ends it with a traceback or a signal."""

import io
import resource
import subprocess
import sys
import warnings

import numpy as np
import tifffile
from image_files import bmp, png
from mutations import mutated
from peak_memory import peak, restart_peak
from PIL import Image

from robust_iqa_jax.data.images import ImageError, decode_image

MEMORY = 3 << 30
MOST_PIXELS = 1 << 20
MOST_GROWTH = 200 << 10
"""KiB of memory for pictures of at most MOST_PIXELS."""


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def seeds() -> list[bytes]:
    rng = np.random.default_rng(0)
    photo = np.linspace(0, 255, 24 * 20 * 3).reshape(24, 20, 3).astype(np.uint8)
    image, exif = Image.fromarray(photo), Image.Exif()
    exif[0x0112] = 6
    small = image.quantize(8)
    deep = io.BytesIO()
    tifffile.imwrite(deep, photo.astype(np.uint16) * 257, photometric="rgb", compression="zlib")
    return [
        png(photo.astype(int), 2, parts=2),
        png(rng.integers(0, 65536, (9, 7, 4)), 6, 16, interlaced=True),
        png(rng.integers(0, 4, (9, 7, 1)), 3, 2, others=[(b"PLTE", bytes(range(12))), (b"tRNS", b"\x80\0")]),
        encoded(image, "PNG", exif=exif, save_all=True, append_images=[image]),
        encoded(image, "JPEG", exif=exif),
        encoded(image, "JPEG", progressive=True, restart_marker_blocks=1),
        encoded(image.convert("CMYK"), "JPEG"),
        encoded(image, "WEBP", exif=exif),
        encoded(image, "WEBP", lossless=True),
        encoded(image, "WEBP", save_all=True, append_images=[small.convert("RGB")]),
        encoded(image, "BMP"),
        encoded(small, "BMP"),
        bmp((4, [b"\x04\x02\0\x01", b"\x04\x01\0\0"]), 8, palette=bytes(1024), compression=1),
        encoded(image, "TIFF", exif=exif),
        encoded(image, "TIFF", compression="tiff_lzw"),
        encoded(image, "TIFF", compression="jpeg"),
        deep.getvalue(),
        encoded(small, "GIF", save_all=True, append_images=[small.rotate(90)]),
        encoded(image, "AVIF", speed=10),
        encoded(image, "JPEG2000"),
        encoded(image, "PPM"),
        b"P3\n2 1\n255\n1 2 3 4 5 6\n",
    ]


def main(count: int, seed: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("ignore")
    Image.MAX_IMAGE_PIXELS = MOST_PIXELS

    def refuse(*_, **__):
        raise SystemExit("a program was run")

    subprocess.Popen.__init__ = refuse  # type: ignore[method-assign]
    files, rng = seeds(), np.random.default_rng(seed)
    for file in files:
        decode_image(file, "a seed")
    before = restart_peak()
    decoded = 0
    for i in range(count):
        try:
            pixels = decode_image(mutated(files[i % len(files)], rng), "a file")
        except ImageError as error:
            message = str(error)
            assert message.startswith("a file: "), message
            assert "\n" not in message, message
            continue
        decoded += 1
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3
        assert pixels.shape[2] == 3
        assert 0 < pixels.size <= 3 * MOST_PIXELS
    grown = peak() - before
    assert grown < MOST_GROWTH, f"{grown} KiB of memory were needed"
    print(decoded, count - decoded)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
