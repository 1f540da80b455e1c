"""Decoding against decoders that are not Pillow's: PNG and BMP by hand, TIFF by tifffile; orientation in every format;
damaged files refused; what is no image named; nothing but image decoders reached."""

import io
import os
import struct
import zlib

import image_files
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageFile
from skimage import data

from robust_iqa_jax.data import images
from robust_iqa_jax.data.images import ImageError, decode_image, read_image, read_picture, read_pixels

RNG = np.random.default_rng(0)
PHOTO = data.chelsea()[100:133, 100:141]


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(pixels, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **options)
    return buffer.getvalue()


# CIPA DC-008: where the stored first row and first column are seen -> how an upright picture is stored.
STORED = {
    1: lambda upright: upright,  # top, left
    2: lambda upright: upright[:, ::-1],  # top, right
    3: lambda upright: upright[::-1, ::-1],  # bottom, right
    4: lambda upright: upright[::-1],  # bottom, left
    5: lambda upright: upright.swapaxes(0, 1),  # left, top
    6: lambda upright: np.rot90(upright, 1),  # right, top
    7: lambda upright: upright[::-1, ::-1].swapaxes(0, 1),  # right, bottom
    8: lambda upright: np.rot90(upright, -1),  # left, bottom
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("JPEG", {"quality": 100, "subsampling": 0}),
        ("WEBP", {"lossless": True}),
        ("AVIF", {"quality": 100, "subsampling": "4:4:4", "speed": 10}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_adobe_deflate"}),
        ("TIFF", {"compression": "packbits"}),
    ],
    ids=lambda value: value if isinstance(value, str) else value.get("compression", "plain"),
)
def test_a_picture_stored_in_any_orientation_is_its_upright_twin(kind, options, orientation):
    stored = np.ascontiguousarray(STORED[orientation](PHOTO))
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = decode_image(encoded(stored, kind, exif=exif, **options), "a file")
    twin = decode_image(encoded(PHOTO, kind, **options), "its twin")
    assert found.shape == twin.shape == PHOTO.shape
    # lossy coders code a turned picture a little differently
    assert np.abs(found.astype(int) - twin).mean() < (2 if kind in ("JPEG", "AVIF") else 1e-9)


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_tiff_of_another_writer_is_turned_once(orientation, bits, compression):
    upright = RNG.integers(0, 2**bits, (5, 7, 3)).astype(f"u{bits // 8}")
    stored = np.ascontiguousarray(STORED[orientation](upright))
    file = tiff(stored, photometric="rgb", compression=compression, extratags=[(274, "H", 1, orientation, True)])
    np.testing.assert_array_equal(decode_image(file, "a file"), np.rint(upright / (2**bits - 1) * 255))


def test_the_orientation_of_xmp_is_applied_where_there_is_no_exif_one():
    packet = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    stored = np.ascontiguousarray(STORED[6](PHOTO))
    np.testing.assert_array_equal(decode_image(encoded(stored, "WEBP", lossless=True, xmp=packet), "xmp"), PHOTO)
    exif = Image.Exif()
    exif[0x0112] = 1
    both = encoded(stored, "WEBP", lossless=True, xmp=packet, exif=exif)
    np.testing.assert_array_equal(decode_image(both, "both"), stored)


def test_damaged_exif_says_nothing_of_the_pixels():
    np.testing.assert_array_equal(decode_image(encoded(PHOTO, "PNG", exif=b"Exif\0\0II*\0\xff\xff"), "a file"), PHOTO)


DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(
    ("colour", "depth", "transparent"),
    [
        (colour, depth, transparent)
        for colour, depths in DEPTHS.items()
        for depth in depths
        for transparent in ((False, True) if colour in (0, 2, 3) else (False,))
    ],
)
def test_every_kind_of_png_is_what_its_specification_says(colour, depth, transparent, interlaced):
    top = 2**depth - 1
    samples = RNG.integers(0, top + 1, (11, 13, image_files.CHANNELS[colour]))
    others, alpha = [], np.ones((11, 13, 1))
    if colour == 3:
        palette = RNG.integers(0, 256, (top + 1, 3))
        others.append((b"PLTE", palette.astype(np.uint8).tobytes()))
        colours = palette[samples[..., 0]] / 255
        if transparent:
            opacity = RNG.integers(0, 256, top)  # one entry fewer than the palette: the last colour is opaque
            others.append((b"tRNS", opacity.astype(np.uint8).tobytes()))
            alpha = np.append(opacity, 255)[samples] / 255
    else:
        count = {0: 1, 2: 3, 4: 1, 6: 3}[colour]
        colours = samples[..., :count] / top
        if colour in (4, 6):
            alpha = samples[..., count:] / top
        elif transparent:
            key = samples[tuple(np.argwhere(samples.min(-1) > 0)[0][:2])]  # not black, which needs no scaling
            others.append((b"tRNS", struct.pack(f">{count}H", *key)))
            alpha = (samples != key).any(-1, keepdims=True).astype(float)
    file = image_files.png(samples, colour, depth, interlaced=interlaced, others=others, parts=3)
    found = decode_image(file, "a file").astype(int)
    difference = np.abs(found - image_files.on_white(colours, alpha).astype(int))
    assert difference.max() == 0


RGB16 = RNG.integers(0, 65536, (33, 41, 3)).astype(np.uint16)
RGB8 = (RGB16 >> 8).astype(np.uint8)
ALPHA8 = RNG.integers(0, 256, (33, 41, 1)).astype(np.uint8)


def rounded(x, top=65535):
    return np.rint(x / top * 255)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize(
    ("pixels", "expected", "options"),
    [
        (RGB16, rounded(RGB16), {"photometric": "rgb"}),
        (RGB16, rounded(RGB16), {"photometric": "rgb", "compression": "zlib"}),
        (RGB16, rounded(RGB16), {"photometric": "rgb", "compression": "zlib", "predictor": True}),
        (np.tile(RGB16, (2, 2, 1)), np.tile(rounded(RGB16), (2, 2, 1)), {"photometric": "rgb", "tile": (16, 16)}),
        (RGB16[..., 0], rounded(RGB16[..., :1]), {"photometric": "minisblack"}),
        (RGB8, RGB8, {"photometric": "rgb"}),
        (np.moveaxis(RGB8, -1, 0).copy(), RGB8, {"photometric": "rgb", "planarconfig": "separate"}),
        (RGB8[..., 0], RGB8[..., :1], {"photometric": "minisblack"}),
        (RGB8[..., 0], 255 - RGB8[..., :1], {"photometric": "miniswhite"}),
        (RGB8[..., 0] > 127, 255 * (RGB8[..., :1] > 127), {"photometric": "minisblack"}),
        (RGB8[..., 0] > 127, 255 * (RGB8[..., :1] <= 127), {"photometric": "miniswhite"}),
        (
            np.concatenate([RGB8, ALPHA8], -1),
            image_files.on_white(RGB8 / 255, ALPHA8 / 255),
            {"photometric": "rgb", "extrasamples": ["unassalpha"]},
        ),
        (np.concatenate([RGB8, ALPHA8], -1), RGB8, {"photometric": "rgb", "extrasamples": ["unspecified"]}),
        (np.concatenate([RGB16, RGB16[..., :1]], -1), rounded(RGB16), {"photometric": "rgb", "extrasamples": [0]}),
    ],
)
def test_a_tiff_is_what_its_writer_wrote(pixels, expected, options, byteorder):
    found = decode_image(tiff(pixels, byteorder=byteorder, **options), "a file")
    np.testing.assert_array_equal(found, np.broadcast_to(expected, found.shape))


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_deep_grey_whose_zero_is_white_is_no_negative(compression):
    file = tiff(RGB16[..., 0], photometric="miniswhite", byteorder="<", compression=compression)
    found = decode_image(file, "a file")
    np.testing.assert_array_equal(found, np.broadcast_to(255 - rounded(RGB16[..., :1]), found.shape))


def test_twelve_bits_of_grey_are_not_four_bits_too_dark():
    grey = RNG.integers(0, 4096, (6, 8))
    pixels = b"".join(int("".join(f"{v:012b}" for v in row), 2).to_bytes(12, "big") for row in grey)
    entries = [(256, 8), (257, 6), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (278, 6), (279, len(pixels))]
    folder = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", tag, 4, 1, v) for tag, v in entries)
    folder = folder.replace(struct.pack("<HHII", 258, 4, 1, 12), struct.pack("<HHII", 258, 3, 1, 12))
    file = b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels + folder + bytes(4)
    np.testing.assert_array_equal(decode_image(file, "a file")[..., 0], rounded(grey, 4095))


@pytest.mark.parametrize(
    ("pixels", "options"),
    [
        (RGB8[..., 0].astype(np.int8), {"photometric": "minisblack"}),
        (RGB16[..., 0].astype(np.int16), {"photometric": "minisblack"}),
        (RGB16[..., 0].astype(np.float32), {"photometric": "minisblack"}),
        (RGB8, {"photometric": "cielab"}),
        (RGB8, {"photometric": "ycbcr"}),
        (np.moveaxis(RGB16, -1, 0).copy(), {"photometric": "rgb", "planarconfig": "separate"}),
    ],
)
def test_a_tiff_that_would_be_decoded_to_other_pixels_is_refused(pixels, options):
    with pytest.raises(ImageError, match=r"a file: a TIFF with .* save it with 8 or 16 bits"):
        decode_image(tiff(pixels, **options), "a file")


@pytest.mark.parametrize("top", [255, 4095, 65535])
def test_portable_maps_of_any_depth_keep_their_white(top):
    samples = RNG.integers(0, top + 1, (4, 5, 3))
    for magic, pixels in ((b"P6", samples), (b"P5", samples[..., :1])):
        head = b"%s\n5 4\n%d\n" % (magic, top)
        found = decode_image(head + pixels.astype(">u2" if top > 255 else "u1").tobytes(), "a file")
        np.testing.assert_array_equal(found, np.broadcast_to(rounded(pixels, top), found.shape))


@pytest.mark.parametrize("top_down", [False, True])
def test_bitmaps_of_every_depth_are_what_their_bytes_say(top_down):
    height, width = 5, 7

    def same(expected, *file, **options):
        found = decode_image(image_files.bmp(*file, top_down=top_down, **options), "a file")
        np.testing.assert_array_equal(found, expected)

    colours = RNG.integers(0, 256, (height, width, 3)).astype(np.uint8)
    blue_first = np.ascontiguousarray(colours[..., ::-1])
    same(colours, (width, [line.tobytes() for line in blue_first]), 24)
    with_fourth = np.concatenate([blue_first, np.zeros((height, width, 1), np.uint8)], -1)
    same(colours, (width, [line.tobytes() for line in with_fourth]), 32)  # the fourth byte is not alpha
    for bits in (1, 4, 8):
        palette = RNG.integers(0, 256, (2**bits, 3)).astype(np.uint8)
        indices = RNG.integers(0, 2**bits, (height, width))
        table = np.concatenate([palette[:, ::-1], np.zeros((2**bits, 1), np.uint8)], -1).tobytes()
        same(palette[indices], (width, [image_files._packed(line, bits) for line in indices]), bits, palette=table)
    fives = RNG.integers(0, 32, (height, width, 3))
    words = (fives[..., 0] << 10 | fives[..., 1] << 5 | fives[..., 2]).astype("<u2")
    file = image_files.bmp((width, [line.tobytes() for line in words]), 16, top_down=top_down)
    assert np.abs(decode_image(file, "a file") - fives / 31 * 255).max() < 1


def test_a_single_wrong_bit_of_a_png_is_found_wherever_it_is():
    whole = image_files.png(RNG.integers(0, 256, (9, 9, 3)), 2, others=[(b"gAMA", struct.pack(">I", 45455))], parts=2)
    for place in range(len(whole)):
        for bit in (0, 3, 7):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            with pytest.raises(ImageError):
                decode_image(bytes(damaged), "a file")


def test_a_png_of_the_wrong_length_is_refused_though_its_checksums_are_right():
    short = image_files.png(RNG.integers(0, 256, (9, 9, 3)), 2)
    place = short.index(b"IHDR")
    for height in (8, 10, 10**6):
        header = short[place + 4 : place + 8] + struct.pack(">I", height) + short[place + 12 : place + 17]
        changed = short[: place - 4] + image_files.chunk(b"IHDR", header) + short[place + 21 :]
        with pytest.raises(ImageError, match="a file: truncated or damaged: its pixels are"):
            decode_image(changed, "a file")


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_adobe_deflate"}),
        ("GIF", {}),
        ("AVIF", {"speed": 10}),
        ("JPEG2000", {}),
        ("JPEG2000", {"no_jp2": True}),
        ("PPM", {}),
    ],
)
@pytest.mark.parametrize("tolerant", [False, True])
def test_a_truncated_file_of_any_format_is_refused(monkeypatch, kind, options, tolerant):
    # a setting of Pillow's that other libraries switch on makes half-grey pictures of truncated files
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", tolerant)
    whole = encoded(PHOTO, kind, **options)
    assert decode_image(whole, "a file").shape == PHOTO.shape
    for share in (0.1, 0.4, 0.8, 0.98):
        with pytest.raises(ImageError):
            decode_image(whole[: int(share * len(whole))], "a file")


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_an_animation_is_its_first_picture_and_says_so(tmp_path, kind):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    file = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    path = tmp_path / "a"
    path.write_bytes(file)
    picture = read_picture(path)
    assert picture.more
    assert picture.pixels[0, 0].tolist() == [255, 0, 0]
    with pytest.raises(ImageError):  # cut off within the second picture
        decode_image(file[:-3], "a file")
    path.write_bytes(encoded(frames[0], kind))
    assert not read_picture(path).more


def test_a_missing_part_of_a_jpeg_with_restart_markers_is_found():
    whole = encoded(data.chelsea()[:64, :64], "JPEG", restart_marker_blocks=1)
    assert decode_image(whole, "a file").shape == (64, 64, 3)
    first, second = whole.index(b"\xff\xd1"), whole.index(b"\xff\xd2")
    with pytest.raises(ImageError, match="restart markers are out of order"):
        decode_image(whole[:first] + whole[second:], "a file")


def declaring(kind, width, height):
    """A small file that says to have this many pixels."""
    if kind == "PNG":
        header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        body = image_files.chunk(b"IHDR", header) + image_files.chunk(b"IDAT", zlib.compress(bytes(1000)))
        return b"\x89PNG\r\n\x1a\n" + body + image_files.chunk(b"IEND", b"")
    if kind == "BMP":
        file = image_files.bmp((width, [bytes(8)]), 24)
        return file[:22] + struct.pack("<i", height) + file[26:]
    if kind == "PPM":
        return b"P6\n%d %d\n255\n" % (width, height) + bytes(100)
    if kind == "TIFF":
        file = tiff(np.zeros((5, 7, 3), np.uint8), photometric="rgb", byteorder="<")
        for tag, old, new in ((256, 7, width), (257, 5, height)):
            for code, pack in ((3, "<HHIHxx"), (4, "<HHII")):
                file = file.replace(struct.pack(pack, tag, code, 1, old), struct.pack("<HHII", tag, 4, 1, new))
        return file
    whole = encoded(np.zeros((48, 48, 3), np.uint8), kind, **({"lossless": True} if kind == "WEBP" else {}))
    if kind == "JPEG":
        at = whole.index(b"\xff\xc0") + 5
        return whole[:at] + struct.pack(">HH", height, width) + whole[at + 4 :]
    if kind == "GIF":
        changed = struct.pack("<HH", width, height)
        at = whole.index(b"\x2c\0\0\0\0\x30\0\x30\0") + 5
        return whole[:6] + changed + whole[10:at] + changed + whole[at + 4 :]
    bits = struct.unpack("<I", whole[21:25])[0] & ~0x0FFFFFFF | (width - 1) | (height - 1) << 14  # WebP, lossless
    return whole[:21] + struct.pack("<I", bits) + whole[25:]


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_a_small_file_that_declares_many_pixels_is_refused(kind):
    with pytest.raises(ImageError, match=r"a file: more than 89 megapixels"):
        decode_image(declaring(kind, 16000, 16000), "a file")


def test_nothing_is_unpacked_beyond_the_pixels_that_a_png_declares(monkeypatch):
    unpacked = []
    real = zlib.decompressobj

    class Counting:
        def __init__(self):
            self.stream = real()

        def decompress(self, part, most):
            out = self.stream.decompress(part, most)
            unpacked.append(len(out))
            return out

        def __getattr__(self, name):
            return getattr(self.stream, name)

    monkeypatch.setattr("robust_iqa_jax.data.whole_image.zlib.decompressobj", Counting)
    header = struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0)
    bomb = zlib.compress(bytes(10_000_000))
    body = image_files.chunk(b"IHDR", header) + image_files.chunk(b"IDAT", bomb) + image_files.chunk(b"IEND", b"")
    with pytest.raises(ImageError, match="its pixels are"):
        decode_image(b"\x89PNG\r\n\x1a\n" + body, "a file")
    assert sum(unpacked) <= 1 << 16


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "a PostScript file"),
        (b"%PDF-1.7\n", "a PDF"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        (b"<!DOCTYPE html><html></html>", "a saved web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a Git-LFS pointer"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "a HEIC photo"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", "a video"),
        (b"8BPS\0\x01", "a Photoshop file"),
        (b"PK\x03\x04" + bytes(40), "a workbook or another zip archive"),
        (b"\x1f\x8b" + bytes(40), "an archive"),
    ],
)
def test_what_is_no_image_is_called_what_it_is(tmp_path, content, message):
    (tmp_path / "photo.png").write_bytes(content)
    with pytest.raises(ImageError, match=rf"photo\.png: not an image but {message}") as caught:
        read_pixels(tmp_path / "photo.png")
    assert "\n" not in str(caught.value)


def test_no_decoder_but_those_of_the_formats_that_are_named_is_reached(monkeypatch):
    # Pillow would have run Ghostscript on it
    monkeypatch.setattr("subprocess.check_call", lambda *_, **__: pytest.fail("a program was run"))
    eps = encoded(PHOTO, "EPS")
    with pytest.raises(ImageError, match="PostScript"):
        decode_image(eps, "a file")
    for kind in ("ICO", "TGA", "PCX", "SGI"):
        with pytest.raises(ImageError, match="not an image"):
            decode_image(encoded(Image.fromarray(PHOTO), kind), "a file")


def test_a_pipe_is_refused_before_it_is_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match=r"pipe\.png: is no regular file"):
        read_pixels(tmp_path / "pipe.png")


def test_a_file_over_the_limit_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "MAX_FILE_BYTES", 100)
    (tmp_path / "a.png").write_bytes(encoded(PHOTO, "PNG"))
    with pytest.raises(ImageError, match=r"a\.png: larger than"):
        read_pixels(tmp_path / "a.png")


def test_read_image_gives_what_a_scorer_takes(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(PHOTO, "PNG"))
    image = read_image(tmp_path / "a.png")
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, PHOTO / 255, rtol=1e-6)


def test_embedded_profiles_and_gamma_are_not_applied():
    profile = b"not a profile at all"
    np.testing.assert_array_equal(decode_image(encoded(PHOTO, "PNG", icc_profile=profile), "a file"), PHOTO)
    file = image_files.png(PHOTO.astype(int), 2, others=[(b"gAMA", struct.pack(">I", 100_000))])
    np.testing.assert_array_equal(decode_image(file, "a file"), PHOTO)


def test_a_picture_and_its_turned_twin_of_the_shared_faults_agree(shared_data):
    folder = shared_data.parent / "faults"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    np.testing.assert_array_equal(read_pixels(folder / "orientation6.tif"), read_pixels(folder / "photo.png"))
    with pytest.raises(ImageError, match=r"damaged_idat\.png: .*checksum of its chunk 'IDAT' is wrong"):
        read_pixels(folder / "damaged_idat.png")
