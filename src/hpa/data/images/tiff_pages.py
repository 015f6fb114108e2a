"""Decoding of one plane of a TIFF page, strip by strip or tile by tile, within bounds."""

import math
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
"""Bytes of uncompressed pixels of several samples that are read at once."""
NONE, JPEG = 1, 7
APART = (22610, 33003, 33004, 33005, 34712, 34887, 34933, 34934, 50001, 50002, 52546)
"""JPEG XR, JPEG 2000, LERC, PNG, WebP and JPEG XL: a few damaged bytes, or a tile larger than it
should be, may fill the memory of their decoders. They run in a process of its own."""
SIMPLE = (NONE, 5, 8, 32773, 32946, 34925, 34926, 50000, 50013)
"""No compression, LZW, deflate, PackBits, LZMA and Zstandard: their output ends where it should."""


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
        check_compression(page)
        self._file, self._n_bytes, self._page = file, n_bytes, page
        self._dtype = page.dtype
        _, self._depth, self._height, self._width, self._n_together = page.shaped

    def read(self, place: Plane, samples: Sequence[int]) -> np.ndarray:
        """Decode samples of a plane as [S,H,W].

        Raises:
            DamagedFileError: it is cut or damaged.
            InvalidImageError: a strip or tile is larger than memory permits.
        """
        shape = len(samples), self._height, self._width
        if not self._page.is_final:
            return self._read_segments(place, samples, np.empty(shape, self._dtype))
        stored = self._dtype.newbyteorder(self._page.parent.byteorder)
        start = self._page.dataoffsets[0] + place.skip * self._page.nbytes
        read = self._read_rows if self._n_together == 1 else self._read_mixed_rows
        return read(start, place.depth, samples, np.empty(shape, stored)).astype(
            self._dtype, copy=False
        )

    def _read_rows(
        self, start: int, depth: int, samples: Sequence[int], plane: np.ndarray
    ) -> np.ndarray:
        """Read uncompressed planes, which stand one after the other."""
        for at, sample in enumerate(samples):
            self._seek(start + (sample * self._depth + depth) * plane[at].nbytes, plane[at].nbytes)
            self._file.readinto(plane[at].data)  # type: ignore[attr-defined]
        return plane

    def _read_mixed_rows(
        self, start: int, depth: int, samples: Sequence[int], plane: np.ndarray
    ) -> np.ndarray:
        """Read uncompressed pixels of several samples, some rows at once."""
        row_bytes = self._width * self._n_together * plane.itemsize
        self._seek(start + depth * self._height * row_bytes, self._height * row_bytes)
        n_rows = max(1, BLOCK_BYTES // row_bytes)
        for top in range(0, self._height, n_rows):
            n = min(n_rows, self._height - top)
            block = np.frombuffer(self._file.read(n * row_bytes), plane.dtype)
            block = block.reshape(n, self._width, self._n_together)[..., list(samples)]
            plane[:, top : top + n] = np.moveaxis(block, -1, 0)
        return plane

    def _read_segments(self, place: Plane, samples: Sequence[int], plane: np.ndarray) -> np.ndarray:
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
            self._seek(offset, count)
            content = self._file.read(count)
            if page.compression == JPEG:
                _check_jpeg(content, shape)
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
        return plane

    def _segments(self) -> Iterator[tuple[int, int, int]]:
        """Yield index, offset and size of each strip or tile."""
        page = self._page
        offsets, counts, number = page.dataoffsets, page.databytecounts, math.prod(page.chunked)
        if not number == len(offsets) == len(counts) or number > MAX_SEGMENTS:
            raise DamagedFileError(f"{len(offsets):,} strips or tiles of {number:,}")
        if sum(counts) > self._n_bytes:
            raise DamagedFileError("strips or tiles larger than the file")
        yield from zip(range(number), offsets, counts, strict=True)

    def _seek(self, offset: int, count: int) -> None:
        """Go to `count` bytes, if the file has them."""
        if not count or offset + count > self._n_bytes:
            raise DamagedFileError("pixels are cut off")
        self._file.seek(offset)


def check_compression(page: tifffile.TiffPage) -> None:
    """Check that the compression of a page is known.

    Raises:
        InvalidImageError: it is not.
    """
    if page.compression not in (*SIMPLE, JPEG, *APART):
        name = getattr(page.compression, "name", page.compression)
        raise InvalidImageError(
            f"pixels compressed as {name}: save the file with LZW, deflate or no compression"
        )


def _check_jpeg(content: bytes, shape: tuple[int, ...]) -> None:
    """Check that a JPEG is not larger than its tile: its decoder would believe it."""
    frame = announced_jpeg(content)
    said = frame.height_px, frame.width_px, frame.n_samples
    if any(each > most for each, most in zip(said, shape[1:], strict=True)):
        raise DamagedFileError(f"a tile of {said[1]}×{said[0]} pixels, larger than announced")
