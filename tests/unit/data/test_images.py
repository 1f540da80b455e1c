"""Decoding: every colour mode, bit depth and orientation against arrays built by hand; damaged files; the resize."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from places import SHARED
from skimage import data

from robust_iqa_jax.data.images import ImageError, at_size, decode_image, read_pixels, resize_image, to_float

PHOTO = data.chelsea()[40:140, 60:190]


def png(path, pixels, colour_type, *, depth=16, transparent=None):
    """A PNG by hand (no library here writes 16-bit colour), rows filtered by None, Sub, Up and Average in turn."""
    height, width = pixels.shape[:2]
    raw = pixels.astype(f">u{depth // 8}").reshape(height, -1).view(np.uint8).astype(int)
    step = pixels.shape[2] * depth // 8
    rows = b""
    for y, row in enumerate(raw):
        up = raw[y - 1] if y else 0 * row
        left = np.concatenate([np.zeros(step, int), row])[: len(row)]
        filtered = (row, row - left, row - up, row - (left + up) // 2)[y % 4]
        rows += bytes([y % 4]) + (filtered % 256).astype(np.uint8).tobytes()
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0))]
    if transparent is not None:
        chunks.append((b"tRNS", struct.pack(f">{len(transparent)}H", *transparent)))
    chunks += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    body = b"".join(struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in chunks)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def save(path, image, **options):
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path, **options)
    return path


@pytest.mark.parametrize(("name", "options"), [("a.png", {}), ("a.webp", {"lossless": True}), ("a.bmp", {})])
def test_a_photo_decodes_to_the_same_pixels_from_every_lossless_format(tmp_path, name, options):
    np.testing.assert_array_equal(read_pixels(save(tmp_path / name, PHOTO, **options)), PHOTO)


def test_a_file_s_bytes_decode_as_the_file_does(tmp_path):
    deep = png(tmp_path / "deep.png", np.arange(60).reshape(4, 5, 3) * 1_000, 2)
    for path in (deep, save(tmp_path / "a.webp", PHOTO)):
        np.testing.assert_array_equal(decode_image(path.read_bytes(), "a record"), read_pixels(path))
    for contents, message in ((b"", r"a record: the file is empty"), (b"text", "a record: not an image")):
        with pytest.raises(ImageError, match=message):
            decode_image(contents, "a record")


@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "a.avif"])
def test_a_lossy_file_decodes_to_nearly_the_photo(tmp_path, name):
    image = read_pixels(save(tmp_path / name, PHOTO, quality=95))
    assert image.dtype == np.uint8
    assert np.abs(image.astype(int) - PHOTO).mean() < 3


def test_a_cmyk_jpeg_has_the_photo_s_colours_and_not_their_negative(tmp_path):
    image = read_pixels(save(tmp_path / "a.jpg", Image.fromarray(PHOTO).convert("CMYK"), quality=95))
    assert np.abs(image.astype(int) - PHOTO).mean() < 3


@pytest.mark.parametrize("mode", ["L", "1"])
def test_grey_and_one_bit_pictures_get_three_equal_channels(tmp_path, mode):
    grey = Image.fromarray(PHOTO).convert(mode)
    expected = np.asarray(grey.convert("L"))
    np.testing.assert_array_equal(read_pixels(save(tmp_path / "a.png", grey)), np.stack([expected] * 3, -1))


def test_a_palette_gives_its_colours(tmp_path):
    image = Image.fromarray(PHOTO).quantize(16)
    np.testing.assert_array_equal(read_pixels(save(tmp_path / "a.png", image)), np.asarray(image.convert("RGB")))


def test_transparency_is_composited_on_white(tmp_path):
    alpha = np.linspace(0, 255, PHOTO.shape[0] * PHOTO.shape[1]).reshape(*PHOTO.shape[:2], 1).astype(np.uint8)
    expected = np.round((PHOTO * (alpha / 255)) + 255 * (1 - alpha / 255))
    image = read_pixels(save(tmp_path / "a.png", np.concatenate([PHOTO, alpha], -1)))
    np.testing.assert_array_equal(image, expected)
    assert (image[0, 0] == 255).all()


def test_transparency_of_grey_with_alpha_and_of_a_palette_is_composited_on_white(tmp_path):
    grey_alpha = np.zeros((4, 5, 2), np.uint8)
    grey_alpha[:2, :, 1] = 255
    image = read_pixels(save(tmp_path / "la.png", Image.fromarray(grey_alpha)))
    np.testing.assert_array_equal(image[:, 0, 0], [0, 0, 255, 255])
    palette = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    palette.putpalette([10, 20, 30, 40, 50, 60])
    image = read_pixels(save(tmp_path / "p.png", palette, transparency=1))
    np.testing.assert_array_equal(image[0], [[10, 20, 30], [255, 255, 255]])


@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_sixteen_bits_are_rounded_to_the_nearest_of_eight(tmp_path, colour_type, channels):
    pixels = np.random.default_rng(0).integers(0, 65536, (33, 41, channels))
    colour, alpha = (pixels[..., :-1], pixels[..., -1:] / 65535) if channels in (2, 4) else (pixels, 1.0)
    expected = np.round((colour * alpha + 65535 * (1 - alpha)) / 257)
    image = read_pixels(png(tmp_path / "a.png", pixels, colour_type))
    np.testing.assert_array_equal(image, np.broadcast_to(expected, image.shape))


@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3)])
def test_the_transparent_colour_of_a_sixteen_bit_png_becomes_white(tmp_path, colour_type, channels):
    pixels = np.random.default_rng(0).integers(0, 60000, (9, 7, channels))
    image = read_pixels(png(tmp_path / "a.png", pixels, colour_type, transparent=pixels[4, 5].tolist()))
    assert np.argwhere((image == 255).all(-1)).tolist() == [[4, 5]]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_the_exif_orientation_is_applied(tmp_path, orientation, name):
    # Independent of any library's table: CIPA DC-008 says where the stored first row and first column are seen.
    first_row, first_column = {
        1: ("top", "left"),
        2: ("top", "right"),
        3: ("bottom", "right"),
        4: ("bottom", "left"),
        5: ("left", "top"),
        6: ("right", "top"),
        7: ("right", "bottom"),
        8: ("left", "bottom"),
    }[orientation]
    stored = np.zeros((32, 64, 3), np.uint8)
    stored[:16, :, 0] = 255  # the first rows hold red, the first columns green
    stored[:, :16, 1] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = read_pixels(save(tmp_path / name, stored, exif=exif))
    assert image.shape == ((32, 64, 3) if orientation < 5 else (64, 32, 3))
    sides = {"top": image[0], "bottom": image[-1], "left": image[:, 0], "right": image[:, -1]}
    assert (sides[first_row][:, 0] > 200).all()
    assert (sides[first_column][:, 1] > 200).all()


def test_an_animation_gives_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    path = save(tmp_path / "a.webp", frames[0], save_all=True, append_images=frames[1:], lossless=True)
    assert read_pixels(path)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.97])
def test_a_truncated_file_is_an_error_and_never_a_half_grey_picture(tmp_path, suffix, share):
    whole = save(tmp_path / f"whole.{suffix}", PHOTO).read_bytes()
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ImageError, match=f"cut.{suffix}: ") as caught:
        read_pixels(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "empty"), (b"mos,name\n", "not an image"), (None, "no such file"), ("folder", "is a folder")],
)
def test_what_is_no_picture_is_refused_with_one_line_that_names_it(tmp_path, content, message):
    path = tmp_path / "photo.png"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(ImageError, match=f"photo.png: .*{message}") as caught:
        read_pixels(path)
    assert "\n" not in str(caught.value)


def test_a_picture_without_pixels_is_refused(tmp_path):
    with pytest.raises(ImageError, match=r"empty\.png"):
        read_pixels(png(tmp_path / "empty.png", np.zeros((1, 0, 3)), 2, depth=8))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("limit", [PHOTO.size // 3 - 1, 100])
def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch, limit):
    path = save(tmp_path / "bomb.png", PHOTO)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(ImageError, match=r"bomb\.png: more than .* megapixels"):
        read_pixels(path)


def test_pixels_of_32_bits_are_refused(tmp_path):
    with pytest.raises(ImageError, match="32 bits"):
        read_pixels(save(tmp_path / "a.tif", PHOTO[..., 0].astype(np.float32)))


def test_real_photos_decode():
    folder = SHARED / "clive/images"
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder}")
    for path in sorted(folder.iterdir())[:40:10]:
        image = read_pixels(path)
        assert image.dtype == np.uint8
        assert image.shape[2] == 3
        assert min(image.shape[:2]) >= 300


def test_resizing_to_the_same_size_is_the_identity():
    assert resize_image(PHOTO, (100, 130)) is PHOTO


def test_shrinking_averages_instead_of_skipping_pixels():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    inner = resize_image(stripes, (16, 8))[:, 1:-1]
    assert inner.shape == (16, 6, 3)
    assert np.abs(inner.astype(int) - 127).max() <= 8


@pytest.mark.parametrize(
    ("image", "size"), [(PHOTO, (0, 5)), (PHOTO[..., 0], (5, 5)), (PHOTO.astype(np.float32), (5, 5))]
)
def test_resize_refuses_what_it_would_garble(image, size):
    for resize in (resize_image, at_size):
        with pytest.raises(ValueError, match=f"^{resize.__name__}: "):
            resize(image, size)


def test_a_photo_at_a_models_size_stays_in_its_range_and_is_float32():
    for level in (0, 255):
        photo = at_size(np.full((37, 23, 3), level, np.uint8), (16, 50))
        assert photo.dtype == np.float32
        np.testing.assert_array_equal(photo, np.full((16, 50, 3), level / 255, np.float32))


def test_to_float_maps_the_ends_to_0_and_1_and_refuses_to_scale_twice():
    values = to_float(np.array([[[0, 51, 255]]], np.uint8))
    assert values.dtype == np.float32
    np.testing.assert_allclose(values[0, 0], [0, 0.2, 1], rtol=1e-7)
    with pytest.raises(ValueError, match="uint8"):
        to_float(values)
