"""One image: from four PNG files to one array, checked on the way."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from kornia_rs.io import decode_image_png_u8

from hpa.data.images.catalogue import channel_path
from hpa.errors import UserError
from hpa.labels import CHANNELS

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_SIZE_PX = 8192
"""No microscope's picture is larger; a small file may claim 2^31 and fill the memory."""
COLOUR_TYPES = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGBA"}


HASH_SIDE_PX, HASH_BITS_A_SIDE = 32, 8
"""A channel is shrunk to 32×32 pixels; its 8×8 lowest frequencies give 64 bits."""
COSINES = np.cos(
    np.pi * np.outer(np.arange(HASH_BITS_A_SIDE), np.arange(HASH_SIDE_PX) + 0.5) / HASH_SIDE_PX
).astype(np.float32)
"""float32[8,32]: the lowest rows of the discrete cosine transform (DCT-II)."""


class UnreadableImageError(UserError):
    """An image that cannot become a row: `path` names its file, `reason` what is wrong with it."""

    def __init__(self, path: Path, reason: str, *, wrong: str, expected: str, remedy: str) -> None:
        super().__init__(wrong, expected=expected, received=reason, remedy=remedy)
        self.path, self.reason = path, reason


def refuse_odd_size(plane: np.ndarray) -> np.ndarray:
    """Return what came: `read_image` refuses what is still no square."""
    return plane


def pad_to_square(plane: np.ndarray) -> np.ndarray:
    """Add black on both sides of the shorter axis: uint8[H,W] to a square of the longer one."""
    height, width = plane.shape
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    return np.pad(plane, ((top, side - height - top), (left, side - width - left)))


def crop_to_square(plane: np.ndarray) -> np.ndarray:
    """Cut both ends of the longer axis away: uint8[H,W] to the middle square."""
    height, width = plane.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return np.ascontiguousarray(plane[top : top + side, left : left + side])


ODD_SIZES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "refuse": refuse_odd_size,
    "pad": pad_to_square,
    "crop": crop_to_square,
}
"""What `pack.odd_size` does with an image that is no square."""


def read_image(
    folder: Path,
    image_id: str,
    image_size: int,
    square: Callable[[np.ndarray], np.ndarray] = refuse_odd_size,
) -> np.ndarray:
    """Read the four channels of an image as uint8[S,S,4], S = `image_size`.

    A larger original is shrunk by averaging over areas, a smaller one enlarged bilinearly.
    Channels of one image must be of one size; `square` (see `ODD_SIZES`) makes them squares.

    Raises:
        UnreadableImageError: a channel is no whole 8-bit grey PNG, differs in size from the others,
            or is no square where `square` leaves it so.
    """
    channels = [read_channel(channel_path(folder, image_id, channel)) for channel in CHANNELS]
    if len({channel.shape for channel in channels}) > 1:
        raise _unfit(folder, image_id, channels, "four channels of one size")
    squares = [square(channel) for channel in channels]
    height, width = squares[0].shape
    if height != width:
        raise _unfit(folder, image_id, channels, "four squares (pack.odd_size makes some)")
    return merge_channels(squares, image_size)


def merge_channels(squares: list[np.ndarray], image_size: int) -> np.ndarray:
    """Bring four squares of one size, each uint8[H,H], to uint8[S,S,4], S = `image_size`."""
    height = len(squares[0])
    if height == image_size:
        return cv2.merge(squares)
    interpolation = cv2.INTER_AREA if height > image_size else cv2.INTER_LINEAR
    size = (image_size, image_size)
    return cv2.merge([cv2.resize(each, size, interpolation=interpolation) for each in squares])


def read_channel(path: Path) -> np.ndarray:
    """Read one 8-bit grey PNG as uint8[H,W].

    Checked here, not left to the decoder: OpenCV cuts 16 bits to 8 and mends broken files without
    a word, and takes two and a half times as long as this one.

    Raises:
        UnreadableImageError: the file is no PNG, is cut or damaged, or is not 8-bit grey.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, str(error.strerror)) from error
    if problem := _png_problem(content):
        raise _unreadable(path, problem)
    width, height = struct.unpack_from(">II", content, len(PNG_SIGNATURE) + 8)
    try:
        pixels: np.ndarray = decode_image_png_u8(content, (height, width), "mono")
    except Exception as error:  # the decoder raises no narrower class
        raise _unreadable(path, f"pixels that do not decode: {error}") from error
    return pixels[..., 0]


def perceptual_hash(pixels: np.ndarray) -> str:
    """Return the 64-bit perceptual hash of each channel of uint8[S,S,4], as 64 hex digits.

    A channel, shrunk to 32×32 by averaging over areas, is transformed by the discrete cosine
    transform; a bit says whether one of its 8×8 lowest frequencies is above their median. So
    brightness, contrast, noise and size change few bits, another picture about half of them; a
    channel of one grey has no pattern and at most the bit of its brightness.

    Source: Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010;
    imagehash.phash, which shrinks by Lanczos' filter instead, agrees in nearly all bits.
    """
    side = (HASH_SIDE_PX, HASH_SIDE_PX)
    small = cv2.resize(pixels, side, interpolation=cv2.INTER_AREA)
    planes = np.moveaxis(small, -1, 0).astype(np.float32)
    lowest = (COSINES @ planes @ COSINES.T).reshape(len(CHANNELS), -1)
    lowest = np.round(lowest, 1)  # one grey everywhere: zeros, not the noise of their rounding
    middle = np.sort(lowest, axis=1)[:, lowest.shape[1] // 2 - 1 :][:, :2].mean(axis=1)
    return np.packbits(lowest > middle[:, None]).tobytes().hex()


def _png_problem(content: bytes) -> str | None:
    """Name what keeps bytes from being a whole 8-bit grey PNG; checks every chunk's CRC."""
    if not content.startswith(PNG_SIGNATURE):
        return f"{len(content)} bytes that are no PNG" if content else "an empty file"
    position, kind = len(PNG_SIGNATURE), b""
    while kind != b"IEND":
        length_and_kind = content[position : position + 8]
        if len(length_and_kind) < 8:
            return f"a PNG cut off after {len(content)} bytes"
        length, kind = struct.unpack(">I4s", length_and_kind)
        body = content[position + 8 : position + 8 + length]
        checksum = content[position + 8 + length : position + 12 + length]
        if len(checksum) < 4:
            return f"a PNG cut off after {len(content)} bytes"
        if zlib.crc32(body, zlib.crc32(kind)) != int.from_bytes(checksum, "big"):
            return f"a damaged {kind.decode('latin-1')} chunk at byte {position}"
        if position == len(PNG_SIGNATURE) and (problem := _header_problem(kind, body)):
            return problem
        position += 12 + length
    return None


def _header_problem(kind: bytes, header: bytes) -> str | None:
    if kind != b"IHDR" or len(header) != 13:
        return "a PNG without a header"
    width, height, depth, colour_type = struct.unpack(">IIBB3x", header)
    if (depth, colour_type) != (8, 0):
        return f"a {depth}-bit {COLOUR_TYPES.get(colour_type, 'unknown')} PNG"
    if not (0 < width <= MAX_SIZE_PX and 0 < height <= MAX_SIZE_PX):
        return f"a PNG of {width}×{height} pixels (at most {MAX_SIZE_PX}×{MAX_SIZE_PX})"
    return None


def _unreadable(path: Path, reason: str) -> UnreadableImageError:
    return UnreadableImageError(
        path,
        reason,
        wrong=f"{path} cannot be read",
        expected="a whole 8-bit grey PNG",
        remedy="fetch the file again or convert it, or remove the image's row from the CSV",
    )


def _unfit(
    folder: Path, image_id: str, channels: list[np.ndarray], expected: str
) -> UnreadableImageError:
    sizes = [
        f"{name} {channel.shape[1]}×{channel.shape[0]}"
        for name, channel in zip(CHANNELS, channels, strict=True)
    ]
    return UnreadableImageError(
        channel_path(folder, image_id, CHANNELS[0]),
        f"unfit sizes: {', '.join(sizes)}",
        wrong=f"image {image_id} in {folder} has channels of unfit sizes",
        expected=expected,
        remedy="crop or resize the files, or remove the row from the CSV",
    )
