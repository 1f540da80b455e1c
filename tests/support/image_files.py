"""Image files made byte by byte, and slow decoders of PNG and BMP written after their specifications: independent of
every imaging library."""

import struct
import zlib

import numpy as np

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(pixels, colour, depth=8, *, interlaced=False, others=(), parts=1):
    """A PNG of integer samples (h, w, channels), rows filtered by all five filters in turn, IDAT in some parts."""
    height, width = pixels.shape[:2]
    raw = b""
    for left, top, step_x, step_y in ADAM7 if interlaced else ((0, 0, 1, 1),):
        lines = pixels[top::step_y, left::step_x]
        above = None
        for y, line in enumerate(lines if lines.shape[1] else ()):
            packed = np.frombuffer(_packed(line.ravel(), depth), np.uint8).astype(int)
            step = max(1, depth * CHANNELS[colour] // 8)
            raw += bytes([y % 5]) + _filtered(packed, 0 * packed if above is None else above, step, y % 5)
            above = packed
    idat = zlib.compress(raw)
    cut = -(-len(idat) // parts)
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    body = [chunk(b"IHDR", header), *(chunk(kind, data) for kind, data in others)]
    body += [chunk(b"IDAT", idat[i : i + cut]) for i in range(0, len(idat), cut)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body) + chunk(b"IEND", b"")


def _packed(samples, depth):
    if depth == 16:
        return samples.astype(">u2").tobytes()
    bits = (samples[:, None] >> np.arange(depth - 1, -1, -1)) & 1
    return np.packbits(bits.ravel().astype(np.uint8)).tobytes()


def _filtered(line, above, step, kind):
    left = np.concatenate([np.zeros(step, int), line])[: len(line)]
    corner = np.concatenate([np.zeros(step, int), above])[: len(line)]
    guess = (0 * line, left, above, (left + above) // 2, _paeth(left, above, corner))[kind]
    return ((line - guess) % 256).astype(np.uint8).tobytes()


def _paeth(a, b, c):
    p = a + b - c
    near = np.abs(np.stack([p - a, p - b, p - c]))
    return np.where((near[0] <= near[1]) & (near[0] <= near[2]), a, np.where(near[1] <= near[2], b, c))


def on_white(colour, alpha):
    """[0,1] colour (h, w, 1 or 3) and alpha (h, w, 1) as 8-bit RGB."""
    flat = np.rint((colour * alpha + 1 - alpha) * 255)
    return np.broadcast_to(flat, (*flat.shape[:2], 3)).astype(np.uint8)


def bmp(rows, bits, *, palette=b"", compression=0, masks=b"", top_down=False):
    """A BMP with a 40-byte header; `rows` are the packed bytes of the lines from top to bottom, not yet padded."""
    width, lines = rows
    padded = [line + bytes(-len(line) % 4) for line in (lines if top_down else lines[::-1])]
    pixels = b"".join(padded)
    offset = 54 + len(masks) + len(palette)
    height = -len(lines) if top_down else len(lines)
    header = struct.pack(
        "<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(pixels), 0, 0, len(palette) // 4, 0
    )
    return b"BM" + struct.pack("<IHHI", offset + len(pixels), 0, 0, offset) + header + masks + palette + pixels
