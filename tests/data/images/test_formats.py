"""Conversion of every accepted format to 8-bit grey, and errors for the others."""

import contextlib
import io
import warnings
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from hpa.data.images.formats import (
    InvalidImageError,
    decode,
    decode_grey,
    read_grey,
)
from hpa.data.images.headers import is_grey_png
from hpa.errors import UserError
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


def read(tmp_path: Path, content: bytes, channel: str = "red", *, tinted: bool) -> np.ndarray:
    (tmp_path / "file").write_bytes(content)
    return read_grey(tmp_path / "file", BY_NAME[channel], tinted=tinted, sixteen_bit_white=None)


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


def test_grey_saved_as_colour_is_grey(tmp_path: Path) -> None:
    content = encoded(Image.fromarray(GREY).convert("RGB"), "PNG")
    np.testing.assert_array_equal(read(tmp_path, content, tinted=False), GREY)


@pytest.mark.parametrize(
    ("channel", "tint"),
    [("red", (1, 0, 0)), ("green", (0, 1, 0)), ("blue", (0, 0, 1)), ("yellow", (1, 1, 0))],
)
def test_a_channel_in_its_own_colour_is_accepted_only_if_tinted(
    tmp_path: Path, channel: str, tint: tuple[int, ...]
) -> None:
    content = encoded(Image.fromarray(GREY[..., None] * np.array(tint, np.uint8)), "PNG")
    np.testing.assert_array_equal(read(tmp_path, content, channel, tinted=True), GREY)
    with pytest.raises(UserError, match="a colour image"):
        read(tmp_path, content, channel, tinted=False)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "an empty file"),
        (b"<html>", "6 bytes that are not a PNG"),
        (encoded(Image.fromarray(GREY), "BMP"), "bytes that are not a PNG, TIFF or JPEG"),
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
        (
            encoded(Image.fromarray(GREY.astype(np.float32)), "TIFF"),
            r"^floating-point values \(32 bits per sample\)$",
        ),
        (encoded(Image.new("L", (9000, 1)), "PNG"), "9000×1 pixels"),
        (
            encoded(
                Image.fromarray(GREY),
                "TIFF",
                save_all=True,
                append_images=[Image.fromarray(GREY)],
            ),
            "^a file of several images$",
        ),
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
            "^a file of several images$",
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
        with warnings.catch_warnings(), contextlib.suppress(InvalidImageError):
            warnings.simplefilter("ignore")
            np.testing.assert_array_equal(decode(bytes(damaged)), GREY)


def tiff(pixels: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize(
    ("pixels", "options", "said"),
    [
        (RGB.astype(np.uint16) * 257, {"photometric": "rgb"}, "^16 bits per sample in three"),
        (RGB.astype(np.uint16), {"photometric": "rgb", "planarconfig": "separate"}, "^16 bits"),
        (RGB[..., :2], {"photometric": "minisblack", "planarconfig": "contig"}, "^two samples"),
        (RGB[..., :2].astype(np.uint16), {"photometric": "minisblack"}, "^two samples|several"),
        (RGB, {"photometric": "minisblack", "planarconfig": "contig"}, "^three samples"),
        (np.dstack([RGB, GREY]), {"photometric": "rgb", "extrasamples": [0]}, "^four samples"),
        (np.dstack([RGB, GREY]), {"photometric": "rgb", "extrasamples": [2]}, "^four samples"),
        (GREY.astype(np.int8), {}, r"^signed values \(8 bits per sample\)"),
        (GREY.astype(np.int16), {}, r"^signed values \(16 bits per sample\)"),
        (GREY.astype(np.uint32), {}, "^32 bits per sample"),
        (GREY.astype(np.uint64), {}, "^64 bits per sample"),
        (GREY.astype(np.float16), {}, r"^floating-point values \(16 bits per sample\)"),
        (GREY.astype(np.float64), {}, r"^floating-point values \(64 bits per sample\)"),
        (GREY.astype(np.complex64), {}, r"^complex values"),
        (GREY > 100, {"photometric": "minisblack"}, "^1 bit per sample"),
        (GREY, {"photometric": "miniswhite"}, "zero is white"),
        (np.stack([GREY, GREY]), {"photometric": "minisblack"}, "^a file of several images"),
        (
            np.stack([GREY, GREY]),
            {"photometric": "minisblack", "volumetric": True, "tile": (2, 16, 16)},
            "^a file of several images",
        ),
    ],
)
def test_a_tiff_of_other_samples_is_refused_by_its_tags(
    byteorder: str, pixels: np.ndarray, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidImageError, match=said):
        decode(tiff(pixels, byteorder=byteorder, **options))


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


def test_a_file_larger_than_any_image_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "stack_red.tif"
    with path.open("wb") as file:
        file.write(encoded(Image.fromarray(GREY), "TIFF"))
        file.truncate(400_000_000)
    with pytest.raises(UserError, match="a file of 400 MB, more than an image of 8192×8192"):
        read_grey(path, BY_NAME["red"], tinted=False, sixteen_bit_white=None)


def test_a_file_of_many_images_is_refused_before_it_is_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pages = [Image.fromarray(GREY)] * 20
    content = encoded(pages[0], "TIFF", save_all=True, append_images=pages)
    opened: list[object] = []
    monkeypatch.setattr(Image, "open", opened.append)
    with pytest.raises(InvalidImageError, match=r"^a file of several images$"):
        decode(content)
    assert opened == []


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "BigTIFF"])
def test_a_bit_flipped_anywhere_decodes_or_is_refused(kind: str) -> None:
    pixels = np.tile(GREY, (8, 8))
    whole = (
        tiff(pixels, bigtiff=True) if kind == "BigTIFF" else encoded(Image.fromarray(pixels), kind)
    )
    random = np.random.default_rng(5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(400):
            damaged = bytearray(whole)
            for place in random.integers(0, min(len(whole), 400), random.integers(1, 4)):
                damaged[place] ^= 1 << int(random.integers(8))
            damaged = damaged[: random.integers(len(whole)) if random.random() < 0.2 else None]
            with contextlib.suppress(InvalidImageError):
                assert decode(bytes(damaged), 256).dtype in (np.uint8, np.uint16)


def tinted(plane: np.ndarray, channel: str) -> np.ndarray:
    pixels = np.zeros((*plane.shape, 3), np.uint8)
    pixels[..., np.array(BY_NAME[channel].rgb) > 0] = plane[..., None]
    return pixels


def decode_tinted(content: bytes, channel: str) -> np.ndarray:
    return decode_grey(content, BY_NAME[channel], tinted=True, sixteen_bit_white=None)


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
