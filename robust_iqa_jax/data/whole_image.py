"""Whether an image file is whole: the structure and the checksums that Pillow's decoders pass over.
Sources: W3C PNG (third edition) 5, 10; ITU-T T.81 B; GIF89a; RFC 9649 (WebP); ISO 14496-12 (boxes of AVIF and JP2)."""

import re
import struct
import zlib
from collections.abc import Callable, Iterator

Size = tuple[int, int]
"""(width, height)."""

_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""First column, first row, and steps of the seven passes."""
_PIECE = 1 << 16

_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_MARKER = re.compile(rb"\xff+([^\x00\xff])")

_PPM_SPACE = rb"(?:\s|#[^\n\r]*[\n\r])+"
_PPM_NUMBER = re.compile(_PPM_SPACE + rb"(\d{1,9})")
_PPM_HEADER = re.compile(rb"P([1-6])" + _PPM_SPACE + rb"(\d{1,9})" + _PPM_SPACE + rb"(\d{1,9})")


class DamagedImage(ValueError):
    """What is wrong with a file, in words that follow its name."""


def check_whole(data: bytes, kind: str, most_pixels: int | None) -> None:
    """Raise where a file is cut off, or where its checksums or its structure contradict its contents.

    Only PNG has checksums: there a single wrong bit is found anywhere. In JPEG, WebP, GIF, BMP and most TIFF files
    wrong bits within the coded pixels are other pixels, and nothing tells. Memory is bounded whatever a file declares.

    Args:
      data: the file.
      kind: of `file_kinds.image_kind`.
      most_pixels: more are refused before anything is unpacked; None for any number.

    Raises:
      DamagedImage: with the reason.
    """
    check = _CHECKS.get(kind)
    if check is None:
        return
    try:
        check(data, most_pixels)
    except (struct.error, IndexError) as error:
        raise DamagedImage("it ends within its structure") from error
    except zlib.error as error:
        raise DamagedImage(f"its compressed data is wrong: {error}") from error


class TooManyPixels(DamagedImage):
    """More pixels than are decoded."""


def _check_count(size: Size, most: int | None) -> None:
    if most is not None and size[0] * size[1] > most:
        raise TooManyPixels(f"{size[0]} x {size[1]} pixels")


def _check_png(data: bytes, most: int | None) -> None:
    chunks = list(_png_chunks(data))
    kind, header = chunks[0]
    if kind != b"IHDR" or len(header) != 13:
        raise DamagedImage("its first chunk is no IHDR")
    width, height, depth, colour, compression, filtering, interlace = struct.unpack(">IIBBBBB", header)
    if depth not in _PNG_DEPTHS.get(colour, ()) or compression or filtering or interlace > 1:
        raise DamagedImage("its IHDR is not one of PNG")
    _check_count((width, height), most)
    bits = depth * _PNG_CHANNELS[colour]
    passes = ((0, 0, 1, 1),) if interlace == 0 else _ADAM7
    expected = 0
    for left, top, step_x, step_y in passes:
        columns, rows = -(-(width - left) // step_x), -(-(height - top) // step_y)
        if columns > 0 and rows > 0:
            expected += rows * (1 + (columns * bits + 7) // 8)
    found, ended = _inflated((part for kind, part in chunks if kind == b"IDAT"), expected)
    if not ended or found != expected:
        raise DamagedImage(f"its pixels are {found}{'' if ended else ' or more'} bytes where {expected} are expected")


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    view = memoryview(data)
    place, kind = 8, b""
    while kind != b"IEND":
        if place + 12 > len(data):
            raise DamagedImage("it ends before its last chunk")
        length, kind = struct.unpack(">I4s", view[place : place + 8])
        end = place + 8 + length
        if end + 4 > len(data):
            raise DamagedImage(f"it ends within its chunk {kind.decode('latin-1')!r}")
        if zlib.crc32(view[place + 4 : end]) != struct.unpack(">I", view[end : end + 4])[0]:
            raise DamagedImage(f"the checksum of its chunk {kind.decode('latin-1')!r} is wrong")
        yield kind, view[place + 8 : end]
        place = end + 4


def _inflated(parts: Iterator[memoryview], expected: int) -> tuple[int, bool]:
    """How many bytes a zlib stream unpacks to, and whether its end with its checksum was reached; ends soon after
    `expected` bytes, and keeps none of them."""
    stream = zlib.decompressobj()
    found = 0
    for part in parts:
        rest: bytes | memoryview = part
        while len(rest) and not stream.eof and found <= expected:
            found += len(stream.decompress(rest, _PIECE))
            rest = stream.unconsumed_tail
    while not stream.eof and found <= expected and (more := stream.decompress(b"", _PIECE)):
        found += len(more)
    return found, stream.eof


def _check_jpeg(data: bytes, most: int | None) -> None:
    place = 2
    while True:
        if data[place] != 0xFF:
            raise DamagedImage("bytes that belong to nothing between its segments")
        while data[place] == 0xFF:
            place += 1
        marker = data[place]
        place += 1
        if marker == 0xD9:
            return
        if marker == 0x01:
            continue
        length = struct.unpack_from(">H", data, place)[0]
        if length < 2 or place + length > len(data):
            raise DamagedImage("it ends within a segment")
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, place + 3)
            _check_count((width, height), most)
        place += length
        if marker == 0xDA:
            place = _end_of_scan(data, place)


def _end_of_scan(data: bytes, place: int) -> int:
    """Where the marker behind coded pixels begins; restart markers count from 0 to 7 in turn (T.81 B.1.1.5)."""
    for restarts, found in enumerate(_JPEG_MARKER.finditer(data, place)):
        marker = found[1][0]
        if not 0xD0 <= marker <= 0xD7:
            return found.start()
        if marker != 0xD0 + restarts % 8:
            raise DamagedImage("a part of its pixels is missing: its restart markers are out of order")
    raise DamagedImage("it ends within its pixels")


def _check_gif(data: bytes, most: int | None) -> None:
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    _check_count((width, height), most)
    place = 13 + _table_bytes(flags)
    pictures = 0
    while data[place] != 0x3B:
        if data[place] == 0x21:
            place += 2
        elif data[place] == 0x2C:
            pictures += 1
            width, height = struct.unpack_from("<HH", data, place + 5)
            _check_count((width, height), most)
            place += 10 + _table_bytes(data[place + 9]) + 1
        else:
            raise DamagedImage("a block of a kind that GIF does not have")
        while data[place]:
            place += 1 + data[place]
        place += 1
    if not pictures:
        raise DamagedImage("it holds no picture")


def _table_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _check_webp(data: bytes, most: int | None) -> None:
    end = 8 + struct.unpack_from("<I", data, 4)[0]
    if end > len(data):
        raise DamagedImage(f"it has {len(data)} bytes where it should have {end}")
    place = 12
    while place < end:
        kind, length = struct.unpack_from("<4sI", data, place)
        if place + 8 + length > end:
            raise DamagedImage(f"it ends within its chunk {kind.decode('latin-1')!r}")
        size = _webp_size(kind, data, place + 8)
        if size is not None:
            _check_count(size, most)
        place += 8 + length + length % 2


def _webp_size(kind: bytes, data: bytes, place: int) -> Size | None:
    if kind == b"VP8X":
        return tuple(int.from_bytes(data[at : at + 3], "little") + 1 for at in (place + 4, place + 7))  # pyright: ignore[reportReturnType]
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, place + 1)[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, place + 6)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _check_boxes(data: bytes, _: int | None) -> None:
    if data[:2] == b"\xff\x4f":  # a bare JPEG 2000 codestream
        if b"\xff\xd9" not in data[-2:]:
            raise DamagedImage("it ends within its pixels")
        return
    place = 0
    while place < len(data):
        length, header = struct.unpack_from(">I", data, place)[0], 8
        if length == 1:
            length, header = struct.unpack_from(">Q", data, place + 8)[0], 16
        if length == 0:  # up to the end
            return
        if length < header or place + length > len(data):
            raise DamagedImage("it ends within a box")
        place += length


def _check_bmp(data: bytes, most: int | None) -> None:
    pixels, header = struct.unpack_from("<II", data, 10)
    if header < 40:  # OS/2's 12 bytes
        width, height, bits, compression = (
            *struct.unpack_from("<HH", data, 18),
            struct.unpack_from("<H", data, 24)[0],
            0,
        )
    else:
        width, height, bits, compression = struct.unpack_from("<iixxHI", data, 18)
    _check_count((abs(width), abs(height)), most)
    if compression in (0, 3) and pixels + (width * bits + 31) // 32 * 4 * abs(height) > len(data):
        raise DamagedImage("it ends within its pixels")


def _check_ppm(data: bytes, most: int | None) -> None:
    header = _PPM_HEADER.match(data)
    if header is None:
        raise DamagedImage("its header is not one of PPM")
    width, height = int(header[2]), int(header[3])
    _check_count((width, height), most)
    if header[1] == b"4":
        expected = (width + 7) // 8 * height
    elif header[1] in b"56":
        value = _PPM_NUMBER.match(data, header.end())
        if value is None:
            raise DamagedImage("its header is not one of PPM")
        expected = width * height * (3 if header[1] == b"6" else 1) * (2 if int(value[1]) > 255 else 1)
        header = value
    else:  # written in digits
        return
    if len(data) - header.end() - 1 < expected:
        raise DamagedImage("it ends within its pixels")


_CHECKS: dict[str, Callable[[bytes, int | None], None]] = {
    "PNG": _check_png,
    "JPEG": _check_jpeg,
    "GIF": _check_gif,
    "BMP": _check_bmp,
    "PPM": _check_ppm,
    "WEBP": _check_webp,
    "AVIF": _check_boxes,
    "JPEG2000": _check_boxes,
}
