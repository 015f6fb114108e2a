"""Conversion of every accepted format to 8-bit grey, and errors for the others."""

import contextlib
import io
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from hpa.data.images.formats import InvalidImageError, decode, read_grey
from hpa.errors import UserError

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def read(tmp_path: Path, content: bytes, channel: str = "red", *, tinted: bool) -> np.ndarray:
    (tmp_path / "file").write_bytes(content)
    return read_grey(tmp_path / "file", channel, tinted=tinted, sixteen_bit_white=None)


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
        (encoded(Image.fromarray(GREY), "PNG")[:-30], "cut or damaged"),
        (encoded(Image.fromarray(np.tile(GREY, (90, 90))), "JPEG")[:-900], "cut or damaged"),
        (encoded(Image.fromarray(np.tile(GREY, (90, 90))), "TIFF")[:-900], "cut or damaged"),
        (
            encoded(Image.fromarray(GREY).convert("1"), "PNG"),
            r"^an image of mode 1 \(1-bit PNG\)$",
        ),
        (encoded(Image.fromarray(GREY).convert("RGBA"), "PNG"), "mode RGBA"),
        (encoded(Image.fromarray(GREY).convert("P"), "PNG"), "mode P"),
        (encoded(Image.fromarray(GREY).convert("CMYK"), "JPEG"), "mode CMYK"),
        (
            encoded(Image.fromarray(GREY.astype(np.float32)), "TIFF"),
            r"^an image of mode F \(TIFF\)$",
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
            "16-bit components",
        ),
        (
            encoded(Image.fromarray(GREY.astype(np.uint16)), "TIFF", tiffinfo={262: 0}),
            "zero is white",
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


def test_a_file_of_many_images_is_refused_at_the_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pages = [Image.fromarray(GREY)] * 20
    content = encoded(pages[0], "TIFF", save_all=True, append_images=pages)
    sought: list[int] = []
    seek = TiffImageFile.seek
    monkeypatch.setattr(TiffImageFile, "seek", lambda *each: sought.append(each[1]) or seek(*each))
    with pytest.raises(InvalidImageError, match=r"^a file of several images$"):
        decode(content)
    assert max(sought) == 1
