"""What a file is by its first bytes: the image formats that are read here, and what else people hand over by mistake.
Source: the formats' own specifications (W3C PNG 5.2, ITU-T T.81 B.1, ISO 14496-12 4.3, ...)."""

import re

HEAD = 64
"""Bytes that tell the kind of a file."""

_IMAGES: tuple[tuple[str, str], ...] = (
    ("PNG", r"\x89PNG\r\n\x1a\n"),
    ("JPEG", r"\xff\xd8\xff"),
    ("WEBP", r"RIFF....WEBP"),
    ("BMP", r"BM"),
    ("TIFF", r"II[*+]\0|MM\0[*+]"),
    ("GIF", r"GIF8[79]a"),
    ("AVIF", r"....ftypavi[fs]|....ftyp(?:mif1|msf1)....(?:....)*avi[fs]"),
    ("JPEG2000", r"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51"),
    ("PPM", r"P[1-6]\s"),
)
_OTHERS: tuple[tuple[str, str], ...] = (
    ("a Git-LFS pointer, not the file itself; fetch it with git lfs pull", r"version https://git-lfs"),
    ("a saved web page; download the file itself", r"\s*<(?i:!doctype html|html)"),
    ("a HEIC photo; save it as PNG or JPEG", r"....ftyp(?:hei[cxsm]|hev[cx]|mif1|msf1)"),
    ("a video; save one of its pictures as PNG", r"....ftyp|RIFF....AVI |\x1a\x45\xdf\xa3"),
    ("an SVG drawing; save it as PNG", r"\s*<(?:\?xml|svg)"),
    ("a PDF; save its picture as PNG", r"%PDF"),
    ("a PostScript file; save it as PNG", r"%!PS|\xc5\xd0\xd3\xc6"),
    ("a Photoshop file; save it as PNG or TIFF", r"8BPS"),
    ("a workbook or another zip archive", r"PK\x03\x04"),
    ("an archive; unpack it first", r"\x1f\x8b|7z\xbc\xaf|Rar!"),
)


def image_kind(head: bytes) -> str | None:
    """Pillow's name of the image format that starts with these bytes; None for everything else."""
    return _first(_IMAGES, head)


def other_kind(head: bytes) -> str | None:
    """What a file with these first bytes is if neither image nor text, with what to do about it; None if unknown."""
    return _first(_OTHERS, head)


def _first(kinds: tuple[tuple[str, str], ...], head: bytes) -> str | None:
    text = head[:HEAD].decode("latin-1")
    return next((kind for kind, pattern in kinds if re.match(pattern, text, re.DOTALL)), None)
