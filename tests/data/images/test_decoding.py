"""Decoding four PNG files into one array, or an error that names the file."""

import struct
import zlib
from contextlib import suppress
from pathlib import Path

import cv2
import imagehash
import numpy as np
import pytest
from PIL import Image

from hpa.data.images.decoding import (
    perceptual_hash,
    read_channel,
    read_image,
    read_tiles,
)
from hpa.data.images.framing import FramingRules
from hpa.errors import UserError
from hpa.vocabulary.hpa2018 import CHANNELS
from support.worlds import draw_pixels, write_image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_image(tmp_path, "cell-1", draw_pixels(1))
    return tmp_path


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join([png_chunk(b"IHDR", header), *chunks])


def hamming(first: str, second: str) -> int:
    return (int(first, 16) ^ int(second, 16)).bit_count()


def test_pixels_come_back_as_written_with_channels_in_order(folder: Path) -> None:
    assert np.array_equal(read_image(folder, "cell-1", CHANNELS.names, 64), draw_pixels(1))


def test_a_larger_original_is_averaged_over_areas(folder: Path) -> None:
    """64 to 32 pixels: each new pixel is the mean of four, rounded."""
    blocks = draw_pixels(1).reshape(32, 2, 32, 2, 4).mean(axis=(1, 3))
    shrunk = read_image(folder, "cell-1", CHANNELS.names, 32)
    assert shrunk.dtype == np.uint8
    assert np.abs(shrunk - blocks).max() <= 0.5


def test_a_smaller_original_is_enlarged(folder: Path) -> None:
    enlarged = read_image(folder, "cell-1", CHANNELS.names, 96)
    assert enlarged.shape == (96, 96, 4)
    assert abs(enlarged.mean() - draw_pixels(1).mean()) < 1


def test_pillow_reads_the_same_pixels(folder: Path) -> None:
    path = folder / "cell-1_green.png"
    assert np.array_equal(read_channel(path), np.asarray(Image.open(path)))


def test_an_all_black_image_is_accepted(tmp_path: Path) -> None:
    write_image(tmp_path, "dark", np.zeros((64, 64, 4), np.uint8))
    assert not read_image(tmp_path, "dark", CHANNELS.names, 32).any()


def test_a_file_cut_at_any_length_is_refused(folder: Path) -> None:
    path = folder / "cell-1_red.png"
    content = path.read_bytes()
    for length in [
        *range(60),
        *range(60, len(content), 7),
        *range(len(content) - 12, len(content)),
    ]:
        path.write_bytes(content[:length])
        with pytest.raises(UserError, match=r"cell-1_red\.png cannot be read"):
            read_channel(path)


def test_a_bit_flipped_anywhere_is_refused_or_harmless(folder: Path) -> None:
    path = folder / "cell-1_blue.png"
    content, expected = path.read_bytes(), read_channel(path)
    end = len(content)
    positions = [*range(60), *range(60, end - 20, 5), *range(end - 20, end)]
    bits = np.random.default_rng(3).integers(0, 8, len(positions))
    refused = 0
    for position, bit in zip(positions, bits, strict=True):
        flipped = bytearray(content)
        flipped[position] ^= 1 << int(bit)
        path.write_bytes(flipped)
        try:
            assert np.array_equal(read_channel(path), expected)
        except UserError as error:
            refused += 1
            assert "cell-1_blue.png" in str(error)  # noqa: PT017
    assert refused == len(positions)


def test_bytes_after_the_end_are_harmless(folder: Path) -> None:
    path = folder / "cell-1_red.png"
    path.write_bytes(path.read_bytes() + b"rubbish")
    assert np.array_equal(read_channel(path), draw_pixels(1)[..., 0])


@pytest.mark.parametrize(
    ("pixels", "received"),
    [
        (np.zeros((64, 64), np.uint16), "a 16-bit grey PNG"),
        (np.zeros((64, 64, 3), np.uint8), "an 8-bit RGB PNG"),
        (np.zeros((64, 64, 4), np.uint8), "an 8-bit RGBA PNG"),
    ],
)
def test_another_depth_or_colour_is_refused(
    folder: Path, pixels: np.ndarray, received: str
) -> None:
    assert cv2.imwrite(str(folder / "cell-1_red.png"), pixels)
    with pytest.raises(UserError, match=rf"cell-1_red\.png cannot be read(.|\n)*{received}"):
        read_image(folder, "cell-1", CHANNELS.names, 64)


def test_a_palette_or_bilevel_image_is_refused(tmp_path: Path) -> None:
    grey = Image.fromarray(draw_pixels(1)[..., 0])
    for mode, received in (("P", "an 8-bit palette"), ("1", "a 1-bit grey"), ("LA", "with alpha")):
        grey.convert(mode).save(tmp_path / "a.png")
        with pytest.raises(UserError, match=received):
            read_channel(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("content", "received"),
    [
        (b"", "an empty file"),
        (b"GIF89a", "6 bytes that are not a PNG"),
        (b"\xff\xd8\xff\xe0" * 9, "36 bytes that are not a PNG"),
        (b"\x89PNG\r\n\x1a\n", "cut off after 8 bytes"),
        (b"\x89PNG\r\n\x1a\n" + png_chunk(b"IEND", b""), "without a header"),
        (b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", b"short"), "without a header"),
        (png(8, 8, png_chunk(b"IEND", b"")), "pixels that do not decode"),
        (png(0, 8, png_chunk(b"IEND", b"")), "0×8 pixels"),
        (png(2**31 - 1, 2**31 - 1, png_chunk(b"IEND", b"")), "2147483647×2147483647 pixels"),
        (png(8, 8, png_chunk(b"IDAT", zlib.compress(b"\0" * 30)), png_chunk(b"IEND", b"")),
         "pixels that do not decode"),
        (png(8, 8, png_chunk(b"IDAT", b"no zlib"), png_chunk(b"IEND", b"")),
         "pixels that do not decode"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_a_whole_png_is_refused(
    tmp_path: Path, content: bytes, received: str
) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(UserError, match=rf"a\.png cannot be read(.|\n)*{received}"):
        read_channel(tmp_path / "a.png")


def test_a_transparent_grey_is_read_as_grey_or_refused(tmp_path: Path) -> None:
    Image.fromarray(draw_pixels(1)[..., 0]).save(tmp_path / "a.png", transparency=0)
    try:
        assert np.array_equal(read_channel(tmp_path / "a.png"), draw_pixels(1)[..., 0])
    except UserError as error:
        assert "a.png cannot be read" in str(error)  # noqa: PT017


def test_a_file_that_vanished_or_is_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.png cannot be read(.|\n)*No such file"):
        read_channel(tmp_path / "a.png")
    (tmp_path / "b.png").mkdir()
    with pytest.raises(UserError, match=r"b\.png cannot be read(.|\n)*directory"):
        read_channel(tmp_path / "b.png")


def test_channels_of_differing_sizes_are_refused(folder: Path) -> None:
    assert cv2.imwrite(str(folder / "cell-1_blue.png"), np.zeros((32, 32), np.uint8))
    with pytest.raises(
        UserError, match=r"cell-1_red\.png(.|\n)*red 64×64, green 64×64, blue 32×32"
    ):
        read_image(folder, "cell-1", CHANNELS.names, 64)


def test_an_image_that_is_not_square_is_refused(tmp_path: Path) -> None:
    write_image(tmp_path, "wide", np.zeros((32, 64, 4), np.uint8))
    with pytest.raises(UserError, match=r"wide_red\.png(.|\n)*64×32 pixels: not square"):
        read_image(tmp_path, "wide", CHANNELS.names, 32)


@pytest.mark.parametrize("rule", ["refuse", "pad", "crop", "tiles"])
def test_no_odd_size_rule_accepts_channels_of_differing_sizes(folder: Path, rule: str) -> None:
    assert cv2.imwrite(str(folder / "cell-1_blue.png"), np.zeros((32, 64), np.uint8))
    with pytest.raises(UserError, match="blue 64×32"):
        read_tiles(folder, "cell-1", CHANNELS.names, FramingRules(64, rule))


def test_the_hash_has_64_bits_per_channel_in_the_order_of_the_channels() -> None:
    pixels = draw_pixels(1)
    whole = perceptual_hash(pixels)
    assert len(whole) == 64
    for number in range(len(CHANNELS.names)):
        alone = np.zeros_like(pixels)
        alone[..., number] = pixels[..., number]
        part = slice(16 * number, 16 * number + 16)
        assert perceptual_hash(alone)[part] == whole[part]


def test_hashes_of_near_copies_are_similar_and_of_others_different() -> None:
    pixels = draw_pixels(1)
    noise = np.random.default_rng(0).integers(0, 2, pixels.shape, dtype=np.uint8)
    brighter = np.minimum(pixels, 250) + noise + np.uint8(3)
    assert hamming(perceptual_hash(pixels), perceptual_hash(brighter)) <= 6
    distances = [
        hamming(perceptual_hash(pixels), perceptual_hash(draw_pixels(s))) for s in (2, 3, 4)
    ]
    assert min(distances) > 40


def test_the_hash_is_close_to_that_of_imagehash(real_data: Path) -> None:
    """Only the resizing differs: area averaging instead of a Lanczos filter."""
    ids = sorted(
        {path.name.rpartition("_")[0] for path in (real_data / "sample48/train").iterdir()}
    )
    distances = []
    for image_id in ids:
        pixels = read_image(real_data / "sample48/train", image_id, CHANNELS.names, 256)
        planes = [Image.fromarray(pixels[..., number]) for number in range(4)]
        theirs = "".join(str(imagehash.phash(plane)) for plane in planes)
        distances.append(hamming(perceptual_hash(pixels), theirs))
    assert np.mean(distances) < 6
    assert max(distances) < 20


def test_real_images_have_different_hashes_that_noise_barely_changes(real_data: Path) -> None:
    paths = sorted((real_data / "sample48/train").glob("*_red.png"))
    ids = [path.name.removesuffix("_red.png") for path in paths]
    images = [
        read_image(real_data / "sample48/train", image_id, CHANNELS.names, 256) for image_id in ids
    ]
    hashes = [perceptual_hash(pixels) for pixels in images]
    noise = np.random.default_rng(0).integers(0, 5, images[0].shape, dtype=np.uint8)
    noisy = [perceptual_hash(np.minimum(pixels, 251) + noise) for pixels in images]
    assert np.median([hamming(*pair) for pair in zip(hashes, noisy, strict=True)]) <= 2
    others = [hamming(hashes[i], hashes[j]) for i in range(48) for j in range(i)]
    assert min(others) > 60


def test_a_constant_channel_has_at_most_one_bit_set() -> None:
    for value in (0, 1, 77, 255):
        bits = int(perceptual_hash(np.full((96, 96, 4), value, np.uint8)), 16).bit_count()
        assert bits == (4 if value else 0)


def test_a_missing_chunk_is_refused(tmp_path: Path) -> None:
    """The checksums of the other chunks are right; OpenCV alone might fill in black."""
    noise = np.random.default_rng(0).integers(0, 256, (256, 256), dtype=np.uint8)
    assert cv2.imwrite(str(tmp_path / "a.png"), noise)
    content = (tmp_path / "a.png").read_bytes()
    starts = [at - 4 for at in range(len(content)) if content[at : at + 4] == b"IDAT"]
    assert len(starts) > 2
    for start in starts:
        length = struct.unpack(">I", content[start : start + 4])[0]
        (tmp_path / "a.png").write_bytes(content[:start] + content[start + 12 + length :])
        with pytest.raises(UserError, match="pixels that do not decode"):
            read_channel(tmp_path / "a.png")


def test_pixels_are_those_of_two_other_decoders(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    path = tmp_path / "a.png"
    for height, width, level in ((1, 1, 0), (3, 17, 1), (64, 33, 6), (257, 128, 9)):
        steep = random.integers(0, 256, (height, width), dtype=np.uint8)
        smooth = np.sort(steep, axis=1)  # other filters than noise
        for plane in (steep, smooth):
            assert cv2.imwrite(str(path), plane, [cv2.IMWRITE_PNG_COMPRESSION, level])
            assert np.array_equal(read_channel(path), plane)
            assert np.array_equal(read_channel(path), np.asarray(Image.open(path)))


def test_a_stream_with_flipped_bits_decodes_or_is_refused(tmp_path: Path) -> None:
    """The checksums of the chunks are right, as if a broken writer had written them."""
    random = np.random.default_rng(0)
    rows = random.integers(0, 4, (32, 33), dtype=np.uint8)  # the first of each row is its filter
    stream = zlib.compress(rows.tobytes())
    for _ in range(300):
        flipped = bytearray(stream)
        flipped[random.integers(len(stream))] ^= 1 << random.integers(8)
        body = png_chunk(b"IDAT", bytes(flipped)) + png_chunk(b"IEND", b"")
        (tmp_path / "a.png").write_bytes(png(32, 32, body))
        with suppress(UserError):
            assert read_channel(tmp_path / "a.png").shape == (32, 32)
