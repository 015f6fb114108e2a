import zlib
from pathlib import Path

import numpy as np
import pytest

from hpa.data.images.decoding import read_image
from hpa.data.images.opened import InvalidImageError
from hpa.data.images.user_images import ReadingRules, read_planes, to_pixels
from hpa.vocabulary.hpa2018 import CHANNELS
from support.worlds import draw_pixels, write_image

RULES = ReadingRules(CHANNELS, 32, "refuse", tinted=True, sixteen_bit_white=None, max_size_px=256)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_image(tmp_path / "plate", "a", draw_pixels(1))
    return tmp_path / "plate"


def files(folder: Path, image_id: str) -> dict[str, Path]:
    return {name: folder / f"{image_id}_{name}.png" for name in CHANNELS.names}


def bomb(side: int) -> bytes:
    """A PNG of side × side black pixels in few bytes."""
    header = side.to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(64))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")
        for kind, body in chunks
    )


def test_pixels_are_the_same_as_those_of_pack(folder: Path) -> None:
    for source in (files(folder, "a"), {k: v.read_bytes() for k, v in files(folder, "a").items()}):
        pixels = to_pixels(read_planes(source, RULES), RULES)
        np.testing.assert_array_equal(pixels, read_image(folder, "a", CHANNELS.names, 32))


def test_an_image_as_numbers_is_the_same_as_its_file(folder: Path) -> None:
    numbers = {name: draw_pixels(1)[..., k].tolist() for k, name in enumerate(CHANNELS.names)}
    pixels = to_pixels(read_planes(numbers, RULES), RULES)
    np.testing.assert_array_equal(pixels, read_image(folder, "a", CHANNELS.names, 32))


def test_an_absent_channel_is_black(folder: Path) -> None:
    planes = read_planes({"green": folder / "a_green.png"}, RULES)
    assert [plane.any() for plane in planes] == [False, True, False, False]


@pytest.mark.parametrize(
    ("green", "said"),
    [
        (None, "no green channel"),
        (b"", "green: an empty file"),
        (b"hello", "green: 5 bytes that are not a PNG"),
        (bomb(30_000), "decompression bomb"),
        (bomb(4000), "green: 4000×4000 pixels \\(at most 256×256\\)"),
        (bomb(64), "cut or damaged"),
        ([[float("nan")] * 8] * 8, "the value nan"),
        ([[0.5] * 8] * 8, "the value 0.5"),
        ([[256] * 8] * 8, "the value 256"),
        ([[1, 2], [3]], "rows of unequal length"),
        ([[[1]]], "shape \\(1, 1, 1\\)"),
        ([["a"]], "not of grey levels"),
        ([[0] * 300], "300×1 pixels"),
        (Path("/nowhere/a_green.png"), "green: No such file"),
    ],
)
def test_an_invalid_channel_is_refused_with_its_reason(green: object, said: str) -> None:
    with pytest.raises(InvalidImageError, match=said):
        read_planes({"green": green}, RULES)


def test_channels_of_unequal_size_and_oblong_images_are_refused() -> None:
    with pytest.raises(InvalidImageError, match="red 4×4, green 8×8"):
        read_planes({"green": [[0] * 8] * 8, "red": [[0] * 4] * 4}, RULES)
    with pytest.raises(InvalidImageError, match="8×4 pixels: not square"):
        to_pixels(read_planes({"green": [[0] * 8] * 4}, RULES), RULES)
