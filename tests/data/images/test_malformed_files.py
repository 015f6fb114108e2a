"""Damaged files and metadata that lie: pixels or `InvalidImageError`, in bounded time and memory.

`benchmarks/malformed_files.py` does the same for minutes.
"""

import logging
import random
import resource
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest

from hpa.data.images.opened import InvalidImageError
from hpa.data.images.opening import open_image
from support.odd_files import (
    FOUR,
    damage,
    lying_files,
    read_everything,
    tiff,
    whole_files,
)

WHOLE, LYING = whole_files(), lying_files()
N_DAMAGED, MAX_CPU_S, MAX_MB = 60, 2, 300


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_file_is_read(name: str, tmp_path: Path) -> None:
    assert read_everything(WHOLE[name], tmp_path) == "pixels"


@pytest.mark.parametrize("name", WHOLE)
def test_a_damaged_file_gives_pixels_or_a_reason(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    draw = random.Random(f"damaged {name}")
    for _ in range(2 if name == "JPEG 2000" else N_DAMAGED):  # each starts a process
        read_within_bounds(damage(draw, WHOLE[name]), tmp_path)
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")


@pytest.mark.parametrize("name", LYING)
def test_metadata_that_lie_give_pixels_or_a_reason(name: str, tmp_path: Path) -> None:
    read_within_bounds(LYING[name], tmp_path)


def read_within_bounds(files: dict[str, bytes], folder: Path) -> None:
    peak, started = peak_mb(), time.process_time()
    read_everything(files, folder)
    assert time.process_time() - started < MAX_CPU_S
    assert peak_mb() - peak < MAX_MB


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def test_few_bytes_that_decompress_to_many_are_refused() -> None:
    """The strip is replaced by one of 320 MB, which the tags do not announce."""
    deflate, piece = zlib.compressobj(1), bytes(4_000_000)
    flood = b"".join(deflate.compress(piece) for _ in range(80)) + deflate.flush()
    content = tiff(FOUR[0], compression="zlib", metadata=None, rowsperstrip=48)
    with open_image(content) as image:
        page = image._opened.first  # type: ignore[attr-defined]
        offset, count = (page.tags[tag].valueoffset for tag in (273, 279))
    damaged = bytearray(content + flood)
    damaged[offset : offset + 4] = struct.pack("<I", len(content))
    damaged[count : count + 4] = struct.pack("<I", len(flood))
    peak = peak_mb()
    with open_image(bytes(damaged)) as image, pytest.raises(InvalidImageError, match="damaged"):
        image.read(0)
    assert peak_mb() - peak < MAX_MB


def test_pages_in_a_circle_are_refused() -> None:
    content = bytearray(tiff(FOUR, metadata=None, photometric="minisblack"))
    directories = [
        each.offset
        for each in open_image(bytes(content))._opened.directories  # type: ignore[attr-defined]
    ]
    (n_tags,) = struct.unpack_from("<H", content, directories[3])
    struct.pack_into("<I", content, directories[3] + 2 + 12 * n_tags, directories[1])
    with pytest.raises(InvalidImageError, match="in a circle"):
        open_image(bytes(content))


def test_a_chain_of_a_million_pages_is_refused_at_once() -> None:
    head = b"II*\0" + struct.pack("<I", 8)
    pages = b"".join(struct.pack("<HI", 0, 8 + 6 * (at + 1)) for at in range(1_000_000))
    started = time.process_time()
    with pytest.raises(InvalidImageError, match="more than 20,000 pages"):
        open_image(head + pages)
    assert time.process_time() - started < MAX_CPU_S


@pytest.mark.parametrize("tag", [256, 273, 279, 270, 258, 33628, 65000])
def test_tags_of_absurd_length_are_refused(tag: int) -> None:
    """A tag of 2^28 numbers, all within a file of 1 GB that has holes, is not read."""
    content = tiff(np.zeros((4, 4), np.uint8), metadata=None)
    at = 8
    (n_tags,) = struct.unpack_from("<H", content, at)
    entry = struct.pack("<HHII", tag, 16, 2**28, 8)
    damaged = content[:at] + struct.pack("<H", n_tags + 1) + entry + content[at + 2 :]
    with pytest.raises(InvalidImageError, match=r"a tag of 268,435,456 numbers"):
        open_image(damaged)


def test_a_scan_bomb_in_a_jpeg_is_refused() -> None:
    """Each scan of a progressive JPEG costs time for all pixels, and may have a few bytes."""
    content = WHOLE["progressive JPEG"]["file"]
    start = content.rindex(b"\xff\xda")
    bomb = content[:start] + content[start:-2] * 500 + b"\xff\xd9"
    with pytest.raises(InvalidImageError, match="scans"):
        open_image(bomb)


def test_tifffile_s_log_reaches_no_terminal(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        for content in (b"II*\0" + bytes(20), tiff(FOUR[0])[:200]):
            with pytest.raises(InvalidImageError), open_image(content) as image:
                image.read(0)
    assert caplog.records == []
