"""Pictures of every accepted format, reduction of color to one channel, and errors for others."""

import contextlib
import io
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from hpa.data.images.decoding import MAX_SIZE_PX
from hpa.data.images.formats import from_colour
from hpa.data.images.headers import is_grey_png
from hpa.data.images.opened import InvalidImageError
from hpa.data.images.opening import open_image
from hpa.vocabulary.hpa2018 import CHANNELS
from support.worlds import draw_pixels

BY_NAME = {channel.name: channel for channel in CHANNELS.channels}
GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
RGB = np.dstack([GREY, 255 - GREY, GREY // 2])
NEGATIVE = Image.fromarray(255 - GREY)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def decode(source: bytes | Path, max_size_px: int = MAX_SIZE_PX) -> np.ndarray:
    with open_image(source, max_size_px=max_size_px) as image:
        return image.read(0)


def read(content: bytes, channel: str = "red", *, tinted: bool) -> np.ndarray:
    return from_colour(decode(content), BY_NAME[channel], tinted)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_lossless_grey_decodes_to_its_own_values(kind: str, dtype: type) -> None:
    pixels = GREY.astype(dtype) * (1 if dtype is np.uint8 else 257)
    decoded = decode(encoded(Image.fromarray(pixels), kind))
    assert decoded.dtype == dtype
    np.testing.assert_array_equal(decoded, pixels)


def test_a_big_endian_tiff_reads_like_any_other() -> None:
    pixels = np.array([[1, 258], [4095, 65535]], np.uint16)
    content = encoded(Image.frombytes("I;16B", (2, 2), pixels.astype(">u2").tobytes()), "TIFF")
    assert content.startswith(b"MM")
    np.testing.assert_array_equal(decode(content), pixels)


def test_grey_saved_as_colour_is_grey() -> None:
    content = encoded(Image.fromarray(GREY).convert("RGB"), "PNG")
    np.testing.assert_array_equal(read(content, tinted=False), GREY)


@pytest.mark.parametrize(
    ("channel", "tint"),
    [("red", (1, 0, 0)), ("green", (0, 1, 0)), ("blue", (0, 0, 1)), ("yellow", (1, 1, 0))],
)
def test_a_channel_in_its_own_colour_is_accepted_only_if_tinted(
    channel: str, tint: tuple[int, ...]
) -> None:
    content = encoded(Image.fromarray(GREY[..., None] * np.array(tint, np.uint8)), "PNG")
    np.testing.assert_array_equal(read(content, channel, tinted=True), GREY)
    with pytest.raises(InvalidImageError, match="a colour image"):
        read(content, channel, tinted=False)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "an empty file"),
        (b"<html>", "^neither a picture"),
        (encoded(Image.fromarray(GREY), "BMP"), "^neither a picture"),
        (encoded(Image.fromarray(GREY), "PNG")[:-30], "cut or damaged: a PNG cut off"),
        (encoded(Image.fromarray(np.tile(GREY, (90, 90))), "JPEG")[:-900], "cut or damaged"),
        (encoded(Image.fromarray(np.tile(GREY, (90, 90))), "TIFF")[:-900], "cut or damaged"),
        (encoded(Image.fromarray(GREY).convert("1"), "PNG"), "^1 bit per sample$"),
        (encoded(Image.fromarray(GREY).convert("RGBA"), "PNG"), "^four samples per pixel"),
        (encoded(Image.fromarray(GREY).convert("LA"), "PNG"), "^two samples per pixel"),
        (encoded(Image.fromarray(GREY), "PNG", transparency=3), "^transparency"),
        (encoded(Image.fromarray(GREY).convert("P"), "PNG"), "^a palette"),
        (encoded(Image.fromarray(GREY).convert("P"), "TIFF"), "^a palette"),
        (encoded(Image.fromarray(GREY).convert("CMYK"), "JPEG"), "^four samples per pixel"),
        (encoded(Image.fromarray(GREY).convert("CMYK"), "TIFF"), "^inks"),
        (encoded(Image.new("L", (9000, 1)), "PNG"), "9000×1 pixels"),
        (
            cv2.imencode(".png", np.full((3, 3, 3), 999, np.uint16))[1].tobytes(),
            r"^16 bits per sample in three samples \(red, green, blue\)$",
        ),
        (
            encoded(Image.fromarray(GREY.astype(np.uint16)), "TIFF", tiffinfo={262: 0}),
            "zero is white",
        ),
        (encoded(Image.fromarray(GREY), "TIFF", tiffinfo={262: 0}), "zero is white"),
        (
            encoded(Image.fromarray(GREY), "PNG", save_all=True, append_images=[NEGATIVE]),
            "^a file of several images$",
        ),
        (
            encoded(Image.fromarray(GREY), "MPO", save_all=True, append_images=[NEGATIVE]),
            "^a file of several images$",
        ),
        (
            encoded(
                Image.fromarray(GREY),
                "TIFF",
                tiffinfo={270: "ImageJ=1.53t\nimages=4\nslices=4\n"},
            ),
            "announce 4 planes, but 1 are there",
        ),
    ],
)
def test_other_files_are_refused(content: bytes, said: str) -> None:
    with pytest.raises(InvalidImageError, match=said):
        decode(content)


def test_a_flipped_bit_in_the_offset_of_a_tiff_s_next_image_raises_no_other_error() -> None:
    """In a TIFF of one image, the last four bytes of its directory are 0: there is no next one."""
    content = encoded(Image.fromarray(GREY), "TIFF")
    start = int.from_bytes(content[4:8], "little")
    place = start + 2 + 12 * int.from_bytes(content[start : start + 2], "little")
    assert content[place : place + 4] == bytes(4)
    for bit in range(32):
        damaged = bytearray(content)
        damaged[place + bit // 8] ^= 1 << bit % 8
        with contextlib.suppress(InvalidImageError):
            np.testing.assert_array_equal(decode(bytes(damaged)), GREY)


def tiff(pixels: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize(
    ("pixels", "options"),
    [
        (GREY, {}),
        (GREY, {"description": "ImageJ=1.53t\nunit=micron\n", "metadata": None}),
        (GREY.astype(np.uint16) * 257, {"rowsperstrip": 1}),
        (np.tile(GREY, (20, 20)).astype(np.uint16) * 257, {"tile": (16, 16)}),
        (RGB, {"photometric": "rgb"}),
        (np.moveaxis(RGB, -1, 0), {"photometric": "rgb", "planarconfig": "separate"}),
    ],
)
def test_an_accepted_tiff_has_the_values_that_were_written(
    byteorder: str, pixels: np.ndarray, options: dict[str, Any]
) -> None:
    decoded = decode(tiff(pixels, byteorder=byteorder, **options))
    expected = np.moveaxis(pixels, 0, -1) if len(pixels) == 3 and pixels.ndim == 3 else pixels
    np.testing.assert_array_equal(decoded, RGB if pixels.ndim == 3 else expected)


def test_a_big_tiff_reads_like_any_other() -> None:
    np.testing.assert_array_equal(decode(tiff(GREY, bigtiff=True)), GREY)


def jpeg_header(*frames: bytes) -> bytes:
    return b"\xff\xd8" + b"\xff\xe0\x00\x10JFIF\0\1\1\0\0\1\0\1\0\0" + b"".join(frames)


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (b"\xff\xc1\x00\x0b\x0c\x00\x08\x00\x08\x01\x01\x11\x00", "^12 bits per sample"),
        (b"\xff\xc3\x00\x0b\x0c\x00\x08\x00\x08\x01\x01\x11\x00", "^12 bits per sample"),
        (b"\xff\xff\xff\xc0\x00\x0e\x08\x00\x08\x00\x08\x02", "^two samples per pixel"),
        (b"\xff\xc0\x00\x0b\x08", "cut or damaged"),
        (b"rubbish", "cut or damaged"),
        (b"", "cut or damaged"),
    ],
)
def test_a_jpeg_of_other_samples_is_refused_by_its_frame(frame: bytes, said: str) -> None:
    with pytest.raises(InvalidImageError, match=said):
        decode(jpeg_header(frame))


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_a_png_of_few_bits_is_refused(depth: int) -> None:
    content = bytearray(encoded(Image.fromarray(GREY), "PNG"))
    content[24] = depth
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    with pytest.raises(InvalidImageError, match=f"^{depth} bits? per sample$"):
        decode(bytes(content))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG"])
def test_a_picture_is_turned_as_its_file_demands(kind: str) -> None:
    """Orientation 6: the first row is shown as the right column."""
    exif = Image.Exif()
    exif[0x0112] = 6
    plain = np.kron(GREY, np.ones((16, 16), np.uint8))
    content = encoded(Image.fromarray(plain), kind, exif=exif)
    difference = decode(content).astype(int) - np.rot90(plain, -1)
    assert np.abs(difference).max() <= (3 if kind == "JPEG" else 0)


def test_a_grey_png_may_be_copied_unless_a_chunk_changes_its_picture(tmp_path: Path) -> None:
    def is_copied(content: bytes) -> bool:
        (tmp_path / "file").write_bytes(content)
        return is_grey_png(tmp_path / "file")

    grey, turned = Image.fromarray(GREY), Image.Exif()
    turned[0x0112] = 6
    assert is_copied(encoded(grey, "PNG"))
    assert is_copied(encoded(grey, "PNG")[:-20])  # damaged: pack lists it
    for other in (
        encoded(grey, "PNG", transparency=3),
        encoded(grey, "PNG", save_all=True, append_images=[NEGATIVE]),
        encoded(grey, "PNG", exif=turned),
        encoded(grey.convert("RGB"), "PNG"),
        encoded(grey, "TIFF"),
        b"",
    ):
        assert not is_copied(other)


def test_a_picture_larger_than_any_image_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "a_red.png"
    with path.open("wb") as file:
        file.write(encoded(Image.fromarray(GREY), "PNG"))
        file.truncate(400_000_000)
    with pytest.raises(InvalidImageError, match="a file of 400 MB, more than an image of"):
        decode(path)


def tinted(plane: np.ndarray, channel: str) -> np.ndarray:
    pixels = np.zeros((*plane.shape, 3), np.uint8)
    pixels[..., np.array(BY_NAME[channel].rgb) > 0] = plane[..., None]
    return pixels


def decode_tinted(content: bytes, channel: str) -> np.ndarray:
    return read(content, channel, tinted=True)


@pytest.mark.parametrize("channel", CHANNELS.names)
def test_light_outside_the_channel_s_colour_is_refused(channel: str) -> None:
    cells = draw_pixels(1)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    own = tinted(cells[..., CHANNELS.names.index(channel)], channel)
    composite = np.stack([cells[..., 0], cells[..., 1], cells[..., 2]], axis=-1)
    annotated = own.copy()
    annotated[50:54, 40:60] = 255  # a white scale bar
    for pixels in (noise, composite, annotated):
        with pytest.raises(InvalidImageError, match=f"light outside {channel}"):
            decode_tinted(encoded(Image.fromarray(pixels), "PNG"), channel)
    for other in CHANNELS.names:
        content = encoded(Image.fromarray(tinted(cells[..., 1], other)), "PNG")
        if other == channel:
            np.testing.assert_array_equal(decode_tinted(content, channel), cells[..., 1])
        else:
            with pytest.raises(InvalidImageError, match=f"light outside {channel}"):
                decode_tinted(content, channel)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (17, 3), (33, 50)])
def test_pictures_of_any_size_are_compared_in_blocks(shape: tuple[int, int]) -> None:
    plane = np.full(shape, 200, np.uint8)
    content = encoded(Image.fromarray(tinted(plane, "green")), "PNG")
    np.testing.assert_array_equal(decode_tinted(content, "green"), plane)
    with pytest.raises(InvalidImageError, match="light outside blue"):
        decode_tinted(content, "blue")


def test_real_channels_pass_as_tinted_jpegs_and_composites_do_not(real_data: Path) -> None:
    """JPEG halves the resolution of colours: dark pixels near bright ones get other colours."""
    names = sorted((real_data / "sample48/train").glob("*_green.png"))[::4]
    refused = 0
    for path in names:
        planes = {
            name: np.asarray(Image.open(str(path).replace("_green", f"_{name}")))
            for name in CHANNELS.names
        }
        for channel in CHANNELS.names:
            picture = Image.fromarray(tinted(planes[channel], channel))
            for quality in (50, 90):
                content = encoded(picture, "JPEG", quality=quality, subsampling=2)
                decode_tinted(content, channel)
        three = np.stack([planes["red"], planes["green"], planes["blue"]], axis=-1)
        for channel in CHANNELS.names:
            try:
                decode_tinted(encoded(Image.fromarray(three), "JPEG", quality=90), channel)
            except InvalidImageError:
                refused += 1
    assert refused == len(names) * len(CHANNELS.names)
