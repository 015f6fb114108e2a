"""Decoding of one plane of a TIFF page, strip by strip or tile by tile, within bounds."""

import math
import struct
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np
import tifffile

from hpa.data.images.headers import DamagedFileError, announced_jpeg
from hpa.data.images.opened import InvalidImageError
from hpa.data.images.tiff_layouts import Plane

MAX_SEGMENTS, MAX_SEGMENT_BYTES = 2**18, 2**28
"""Strips or tiles of a page, and bytes of a decoded one, at most."""
BLOCK_BYTES = 2**24
"""Bytes of uncompressed rows of several samples that are read at once."""
NONE, JPEG = 1, 7
JPEG_2000 = (33003, 33004, 33005, 34712)
SIMPLE = (NONE, 5, 8, 32773, 32946, 34925, 34926, 50000, 50013)
"""No compression, LZW, deflate, PackBits, LZMA and Zstandard: their output ends where it should."""
J2K_START = b"\xff\x4f\xff\x51"


class PageReader:
    """Reader of the planes of a page.

    Args:
        file: that holds the page.
        n_bytes: its size.
        page: whose announced size has been checked.

    Raises:
        DamagedFileError: the page has no pixels of a known type.
        InvalidImageError: its compression is unknown.
    """

    def __init__(self, file: BinaryIO, n_bytes: int, page: tifffile.TiffPage) -> None:
        if page.dtype is None or not page.dataoffsets:
            raise DamagedFileError("a page without pixels of a known type")
        if page.compression not in (*SIMPLE, JPEG, *JPEG_2000):
            name = getattr(page.compression, "name", page.compression)
            raise InvalidImageError(
                f"pixels compressed as {name}: save the file with LZW, deflate or no compression"
            )
        self._file, self._n_bytes, self._page = file, n_bytes, page
        self._dtype = page.dtype
        _, self._depth, self._height, self._width, self._n_together = page.shaped

    def read(self, place: Plane, samples: Sequence[int]) -> np.ndarray:
        """Decode samples of a plane as [S,H,W].

        Raises:
            DamagedFileError: it is cut or damaged.
            InvalidImageError: a strip or tile is larger than memory permits.
        """
        plane = np.empty((len(samples), self._height, self._width), self._dtype)
        read = self._read_rows if self._page.is_final else self._read_segments
        read(place, samples, plane)
        return plane

    def _read_rows(self, place: Plane, samples: Sequence[int], plane: np.ndarray) -> None:
        """Read uncompressed rows, which stand one after the other."""
        stored = self._dtype.newbyteorder(self._page.parent.byteorder)
        row_bytes = self._width * self._n_together * stored.itemsize
        n_rows = self._height if self._n_together == 1 else max(1, BLOCK_BYTES // row_bytes)
        first = self._page.dataoffsets[0] + place.skip * self._page.nbytes
        for at, sample in enumerate(samples if self._n_together == 1 else [0]):
            start = first + (sample * self._depth + place.depth) * self._height * row_bytes
            for top in range(0, self._height, n_rows):
                n = min(n_rows, self._height - top)
                content = self._read(start + top * row_bytes, n * row_bytes)
                block = np.frombuffer(content, stored).reshape(n, self._width, self._n_together)
                if self._n_together == 1:
                    plane[at, top : top + n] = block[..., 0]
                else:
                    plane[:, top : top + n] = np.moveaxis(block[..., list(samples)], -1, 0)

    def _read_segments(self, place: Plane, samples: Sequence[int], plane: np.ndarray) -> None:
        """Decode the strips or tiles that hold the plane."""
        page = self._page
        tables = {"jpegtables": page.jpegtables} if page.compression == JPEG else {}
        for index, offset, count in self._segments():
            _, (separate, front, top, left, _), shape = page.decode(None, index)
            is_apart = self._n_together == 1 and separate not in samples
            if is_apart or not front <= place.depth < front + shape[0]:
                continue
            if math.prod(shape) * self._dtype.itemsize > MAX_SEGMENT_BYTES:
                raise InvalidImageError(
                    "a strip or tile larger than 268 MB: save the file in smaller tiles"
                )
            content = self._read(offset, count)
            _check_codec(page.compression, content, shape)
            decoded = page.decode(content, index, **tables)[0]
            if decoded is None:
                raise DamagedFileError("a strip or tile without pixels")
            size = min(shape[1], self._height - top), min(shape[2], self._width - left)
            part = decoded[place.depth - front, : size[0], : size[1]]
            if part.shape[:2] != size:
                raise DamagedFileError("a strip or tile of another size")
            where = slice(top, top + size[0]), slice(left, left + size[1])
            if self._n_together == 1:
                plane[(samples.index(separate), *where)] = part[..., 0]
            else:
                plane[(slice(None), *where)] = np.moveaxis(part[..., list(samples)], -1, 0)

    def _segments(self) -> Iterator[tuple[int, int, int]]:
        """Yield index, offset and size of each strip or tile."""
        page = self._page
        offsets, counts, number = page.dataoffsets, page.databytecounts, math.prod(page.chunked)
        if not number == len(offsets) == len(counts) or number > MAX_SEGMENTS:
            raise DamagedFileError(f"{len(offsets):,} strips or tiles of {number:,}")
        if sum(counts) > self._n_bytes:
            raise DamagedFileError("strips or tiles larger than the file")
        yield from zip(range(number), offsets, counts, strict=True)

    def _read(self, offset: int, count: int) -> bytes:
        if not count or offset + count > self._n_bytes:
            raise DamagedFileError("pixels are cut off")
        self._file.seek(offset)
        return self._file.read(count)


def _check_codec(compression: int, content: bytes, shape: tuple[int, ...]) -> None:
    """Check that a JPEG or JPEG 2000 is not larger than its tile: its decoder would believe it."""
    if compression in SIMPLE:
        return
    if compression == JPEG:
        frame = announced_jpeg(content)
        said = frame.height_px, frame.width_px, frame.n_samples
    else:
        at = content.find(J2K_START)
        if at < 0 or len(content) < at + 42:
            raise DamagedFileError("a tile that is not JPEG 2000")
        right, bottom, left, top, tile_width, tile_height = struct.unpack_from(
            ">6I", content, at + 8
        )
        (n_samples,) = struct.unpack_from(">H", content, at + 40)
        said = bottom - top, right - left, n_samples
        if min(tile_width, tile_height) < min(64, *said[:2]):
            raise DamagedFileError("a JPEG 2000 of tiny tiles")
    if any(each > most for each, most in zip(said, shape[1:], strict=True)):
        raise DamagedFileError(f"a tile of {said[1]}×{said[0]} pixels, larger than announced")
