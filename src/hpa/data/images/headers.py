"""Checks of what a picture announces about its samples, before any pixel is decoded.

Decoders hide depth and samples: Pillow opens 16-bit RGB as 8 bits, and drops alpha. So the file's
own header decides here. Accepted are one sample of 8 or 16 bits per pixel (grey), and three of 8
bits (red, green, blue). Directories of TIFF files are read by `tiff_directories`.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hpa.data.images.opened import InvalidImageError

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
JPEG_SIGNATURE = b"\xff\xd8\xff"
NUMBERS = {1: "one sample", 2: "two samples", 3: "three samples", 4: "four samples"}
SEVERAL = "a file of several images"

PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples per pixel by the colour type of IHDR; 3 is a palette."""
JPEG_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
JPEG_BARE = {0x01, *range(0xD0, 0xD8)}
"""Markers that have no length."""
JPEG_SCAN, MAX_SCANS = b"\xff\xda", 30
"""A scan may have few bytes, and takes as long as all pixels; a progressive JPEG has about ten."""

PALETTE = "a palette: its values are numbers of colours, not brightness"


class DamagedFileError(ValueError):
    """Error for a file whose structure is cut or damaged."""


@dataclass(frozen=True)
class AnnouncedPicture:
    """Contents of a PNG or JPEG as its header states them.

    Attributes:
        kind: `PNG` or `JPEG`.
        width_px, height_px: as stored.
        bits: per sample.
        n_samples: per pixel.
        has_exif: it may demand that the picture be turned.
    """

    kind: str
    width_px: int
    height_px: int
    bits: int
    n_samples: int
    has_exif: bool


def announced_picture(content: bytes) -> AnnouncedPicture:
    """Read the header of a PNG or JPEG, and check all checksums of a PNG.

    Raises:
        InvalidImageError: it is cut, damaged, or holds another kind of picture.
    """
    try:
        if content.startswith(PNG_SIGNATURE):
            problem = png_problem(content)
            found = _announced_png(content)
        elif content.startswith(JPEG_SIGNATURE):
            found = announced_jpeg(content)
            problem = _samples_problem([found.bits] * found.n_samples)
        else:
            raise InvalidImageError(f"{len(content)} bytes that are not a PNG or JPEG")
    except DamagedFileError as error:
        raise InvalidImageError(f"{len(content)} bytes, cut or damaged: {error}") from error
    if problem:
        raise InvalidImageError(problem)
    if not (found.width_px and found.height_px):
        raise InvalidImageError(f"{len(content)} bytes, cut or damaged: a picture without pixels")
    return found


def _announced_png(content: bytes) -> AnnouncedPicture:
    width, height, bits, colour_type = struct.unpack_from(">IIBB", content, 16)
    return AnnouncedPicture(
        "PNG", width, height, bits, PNG_SAMPLES[colour_type], _has_exif(content)
    )


def _has_exif(content: bytes) -> bool:
    return any(each in content for each in (b"eXIf", b"Exif\0", b"tiff:Orientation"))


def is_grey_png(path: Path) -> bool:
    """Return whether a file is an 8-bit grey PNG without a chunk that changes its picture.

    It may be damaged: `pack` lists damaged files, instead of stopping at the first.
    """
    with path.open("rb") as file:
        content = file.read(26)
        if not content.startswith(PNG_SIGNATURE) or content[24:] != b"\x08\x00":
            return False
        content += file.read()
    with suppress(DamagedFileError):
        return not any(kind in (b"tRNS", b"acTL", b"eXIf") for kind, _ in png_chunks(content))
    return True


def png_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and body of every chunk of a PNG up to its end, and verify the checksums.

    Raises:
        DamagedFileError: a chunk is cut or damaged, or the first is not a header.
    """
    position, kind = len(PNG_SIGNATURE), b""
    while kind != b"IEND":
        length_and_kind = content[position : position + 8]
        if len(length_and_kind) < 8:
            raise DamagedFileError(f"a PNG cut off after {len(content)} bytes")
        length, kind = struct.unpack(">I4s", length_and_kind)
        body = content[position + 8 : position + 8 + length]
        checksum = content[position + 8 + length : position + 12 + length]
        if len(checksum) < 4:
            raise DamagedFileError(f"a PNG cut off after {len(content)} bytes")
        if zlib.crc32(body, zlib.crc32(kind)) != int.from_bytes(checksum, "big"):
            name = kind.decode("latin-1")
            raise DamagedFileError(f"a damaged {name} chunk at byte {position}")
        if position == len(PNG_SIGNATURE) and (kind != b"IHDR" or length != 13):
            raise DamagedFileError("a PNG without a header")
        yield kind, body
        position += 12 + length


def png_problem(content: bytes) -> str | None:
    """Return why a PNG is refused by its chunks, or None.

    Raises:
        DamagedFileError: see `png_chunks`.
    """
    for kind, body in png_chunks(content):
        if kind == b"IHDR":
            depth, colour_type = body[8:10]
            if colour_type not in PNG_SAMPLES:
                raise DamagedFileError(f"an unknown kind of PNG (colour type {colour_type})")
            if colour_type == 3:
                return PALETTE
            if problem := _samples_problem([depth] * PNG_SAMPLES[colour_type]):
                return problem
        elif kind == b"tRNS":
            return "transparency (one of its values is declared transparent)"
        elif kind == b"acTL":
            return SEVERAL
    return None


def _samples_problem(bits: Sequence[int]) -> str | None:
    """Return why samples of `bits` bits each are refused, or None."""
    n_samples = NUMBERS.get(len(bits), f"{len(bits)} samples")
    depth = " and ".join(str(each) for each in sorted(set(bits)))
    if len(bits) == 3 and set(bits) != {8}:
        return f"{depth} bits per sample in three samples (red, green, blue)"
    if len(bits) not in (1, 3):
        return f"{n_samples} per pixel: transparency, a second channel or inks"
    if bits[0] not in (8, 16):
        return f"{depth} bit{'s' * (depth != '1')} per sample"
    return None


def announced_jpeg(content: bytes) -> AnnouncedPicture:
    """Read the frame header of a JPEG.

    Raises:
        DamagedFileError: there is none.
    """
    if content.count(JPEG_SCAN) > MAX_SCANS:
        raise DamagedFileError(f"a JPEG of more than {MAX_SCANS} scans")
    position = 2
    while position + 4 <= len(content) and content[position] == 0xFF:
        marker, length = struct.unpack_from(">xBH", content, position)
        if marker == 0xFF:  # a fill byte
            position += 1
        elif marker in JPEG_BARE:
            position += 2
        elif marker in JPEG_FRAMES:
            frame = content[position + 4 : position + 10]
            if len(frame) < 6:
                break
            bits, height, width, n_samples = struct.unpack(">BHHB", frame)
            return AnnouncedPicture("JPEG", width, height, bits, n_samples, _has_exif(content))
        else:
            position += 2 + length
    raise DamagedFileError("a JPEG without a frame header")
