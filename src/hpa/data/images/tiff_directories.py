"""The directories of a TIFF file, which describe its pages, read within bounds.

tifffile reads what the tags announce. So the announced numbers are checked before it is asked: a
few bytes may announce millions of pages, in a circle, or tags of many gigabytes.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

from hpa.data.images.headers import NUMBERS, PALETTE, DamagedFileError
from hpa.data.images.opened import InvalidImageError

MAX_PAGES, MAX_TAGS, MAX_SAMPLES = 20_000, 1_000, 1_000
MAX_COUNT, MAX_TAG_BYTES = 2**18, 64_000_000
"""Numbers in a tag, and bytes of all tags of a page, at most."""
MAX_METAMORPH_COUNT = 4_096
"""MetaMorph's tags are read once per plane."""
SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, ORIENTATION = (
    254,
    256,
    257,
    258,
    259,
    262,
    274,
)
SAMPLES, PLANAR, PAGE_NAME, TILE_WIDTH, TILE_HEIGHT, FORMAT = 277, 284, 285, 322, 323, 339
DEPTH, TILE_DEPTH, METAMORPH, LSM = 32997, 32998, range(33628, 33632), 34412
KEPT = {
    SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, ORIENTATION, SAMPLES, PLANAR, PAGE_NAME,
    TILE_WIDTH, TILE_HEIGHT, FORMAT, DEPTH, TILE_DEPTH,
}  # fmt: skip
SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
"""Bytes of a number by the type of its tag."""
LETTERS = {1: "B", 3: "H", 4: "I", 16: "Q"}
TEXT, BYTES = 2, {1, 2, 6, 7}
REDUCED, MASK = 1, 4
GREY, RGB, COLORMAP, YCBCR, JPEG_IN_TIFF = 1, 2, 3, 6, 7
REFUSED_COLORS = {
    0: "a negative (zero is white)",
    3: PALETTE,
    4: "a mask",
    5: "inks (cyan, magenta, yellow, black)",
}
"""Words for the values of PhotometricInterpretation that are refused."""
SIGNS = {2: "signed values", 3: "floating-point values", 5: "complex values", 6: "complex values"}


@dataclass(frozen=True)
class Directory:
    """A page as its directory describes it: `offset` in the file, and the numbers of its tags."""

    offset: int
    tags: Mapping[int, tuple[int, ...]]
    name: str = ""

    def number(self, tag: int, default: int) -> int:
        """Return the first number of a tag."""
        return self.tags.get(tag, (default,))[0]

    @property
    def is_extra(self) -> bool:
        """Return whether the page is a smaller copy of another, or its mask."""
        return bool(self.number(SUBFILE, 0) & (REDUCED | MASK))

    @property
    def signature(self) -> tuple[object, ...]:
        """Return what the pages of an image must have in common."""
        tags = (WIDTH, HEIGHT, BITS, SAMPLES, FORMAT, PHOTOMETRIC, DEPTH, ORIENTATION)
        return tuple(self.tags.get(tag) for tag in tags)

    @property
    def words(self) -> str:
        """Return size and type of the page for a reader."""
        bits, samples = self.number(BITS, 1), self.number(SAMPLES, 1)
        size = f"{self.number(WIDTH, 0)}×{self.number(HEIGHT, 0)} pixels of {bits} bits"
        return f"{size} in {NUMBERS.get(samples, samples)}" if samples > 1 else size


def read_directories(file: BinaryIO, n_bytes: int) -> list[Directory]:
    """Read the chain of directories of a TIFF or BigTIFF of `n_bytes` bytes.

    Raises:
        DamagedFileError: it is cut, or its pages form a circle.
        InvalidImageError: it has more pages than any image.
    """
    file.seek(0)
    head = file.read(16)
    order = "<" if head.startswith(b"II") else ">"
    is_big = head[2:4] in (b"+\0", b"\0+")
    reader = _Reader(file, n_bytes, order, is_big)
    start = 8 if is_big else 4
    if len(head) < start + reader.offset_bytes:
        raise DamagedFileError("a header without a page")
    (offset,) = struct.unpack_from(reader.offset_format, head, start)
    found: list[Directory] = []
    seen: set[int] = set()
    while offset:
        if offset in seen:
            raise DamagedFileError("pages that refer to each other in a circle")
        if len(found) == MAX_PAGES:
            raise InvalidImageError(
                f"more than {MAX_PAGES:,} pages, such as a long time series: save one image of it"
            )
        seen.add(offset)
        directory, offset = reader.read(offset)
        found.append(directory)
    if not found:
        raise DamagedFileError("no page")
    return found


class _Reader:
    def __init__(self, file: BinaryIO, n_bytes: int, order: str, is_big: bool) -> None:
        self._file, self._n_bytes, self._order, self._is_big = file, n_bytes, order, is_big
        self.offset_bytes = 8 if is_big else 4
        self.offset_format = order + ("Q" if is_big else "I")
        self._count_format, self._count_bytes = (order + "Q", 8) if is_big else (order + "H", 2)
        self._entry = struct.Struct(order + ("HHQ8s" if is_big else "HHI4s"))

    def read(self, offset: int) -> tuple[Directory, int]:
        """Read the directory at `offset`, and the offset of the next."""
        (n_tags,) = struct.unpack(self._count_format, self._bytes(offset, self._count_bytes))
        if n_tags > MAX_TAGS:
            raise DamagedFileError(f"a page of {n_tags:,} tags")
        start, n_bytes = offset + self._count_bytes, n_tags * self._entry.size
        block = self._bytes(start, n_bytes + self.offset_bytes)
        tags: dict[int, tuple[int, ...]] = {}
        codes, names, total = set(), b"", 0
        for code, kind, count, value in self._entry.iter_unpack(block[:n_bytes]):
            size = SIZES.get(kind, 0) * count
            total += size
            codes.add(code)
            _check_tag(code, kind, count, total)
            if code not in KEPT or code in tags:
                continue
            where = None if size <= self.offset_bytes else self._number(value)
            if code == PAGE_NAME and kind == TEXT:
                names = self._value(where, value, min(size, 200))
            elif kind in LETTERS and 0 < count <= MAX_SAMPLES:
                numbers = self._value(where, value, size)
                tags[code] = struct.unpack(f"{self._order}{count}{LETTERS[kind]}", numbers)
        if LSM in codes and len(tags.get(BITS, ())) == 2 and not self._is_big:
            tags[BITS] = self._bits_of_lsm(tags[BITS])
        name = names.partition(b"\0")[0].decode("utf-8", "replace").strip()
        return Directory(offset, tags, name), self._number(block[n_bytes:])

    def _bits_of_lsm(self, stored: tuple[int, ...]) -> tuple[int, ...]:
        """Return the bits of two samples, which LSM stores elsewhere, though they would fit."""
        where = self._number(struct.pack(f"{self._order}2H", *stored))
        return struct.unpack(f"{self._order}2H", self._bytes(where, 4))

    def _value(self, where: int | None, inline: bytes, size: int) -> bytes:
        return inline[:size] if where is None else self._bytes(where, size)

    def _number(self, value: bytes) -> int:
        (number,) = struct.unpack(self.offset_format, value)
        return int(number)

    def _bytes(self, offset: int, size: int) -> bytes:
        if offset + size > self._n_bytes:
            raise DamagedFileError(f"cut off after {self._n_bytes:,} bytes")
        self._file.seek(offset)
        return self._file.read(size)


def _check_tag(code: int, kind: int, count: int, total: int) -> None:
    most = MAX_METAMORPH_COUNT if code in METAMORPH else MAX_COUNT
    if total > MAX_TAG_BYTES or (kind not in BYTES and count > most):
        raise DamagedFileError(f"a tag of {count:,} numbers")


def check_page(page: Directory, max_size_px: int, is_shown_in_color: bool = False) -> None:
    """Check that the samples of a page are grey levels, and its size.

    Args:
        page: the page.
        max_size_px: of a side, at most.
        is_shown_in_color: a palette says no more than in which color a program shows grey levels.

    Raises:
        InvalidImageError: they are not; or it is larger than `max_size_px` on a side, or empty.
        DamagedFileError: its tags contradict each other.
    """
    width, height = page.number(WIDTH, 0), page.number(HEIGHT, 0)
    n_samples, bits = page.number(SAMPLES, 1), page.tags.get(BITS, (1,))
    photometric = page.number(PHOTOMETRIC, -1)
    photometric = GREY if is_shown_in_color and photometric == COLORMAP else photometric
    if not (width and height and 0 < n_samples <= MAX_SAMPLES):
        raise DamagedFileError("tags that cannot be read")
    if 1 < len(bits) < n_samples or len({*bits}) > 1:
        raise DamagedFileError("samples of unequal depth")
    if max(width, height) > max_size_px:
        raise InvalidImageError(f"{width}×{height} pixels (at most {max_size_px}×{max_size_px})")
    if photometric < 0:
        raise InvalidImageError("a TIFF that does not tell whether zero is black")
    if photometric in REFUSED_COLORS:
        raise InvalidImageError(REFUSED_COLORS[photometric])
    is_jpeg = (
        photometric == YCBCR and n_samples == 3 and page.number(COMPRESSION, 1) == JPEG_IN_TIFF
    )
    if not (photometric == GREY or (photometric == RGB and n_samples > 2) or is_jpeg):
        words = NUMBERS.get(n_samples, f"{n_samples} samples")
        raise InvalidImageError(f"{words} per pixel, neither grey nor red-green-blue")
    signs = {*page.tags.get(FORMAT, (1,))}
    if len(signs) > 1 or signs & {5, 6}:
        raise InvalidImageError(
            f"{SIGNS.get(max(signs), 'mixed values')} ({bits[0]} bits per sample)"
        )
    if bits[0] < 8:
        raise InvalidImageError(f"{bits[0]} bit{'s' * (bits[0] != 1)} per sample")
