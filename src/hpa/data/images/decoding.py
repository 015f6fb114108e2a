"""Decode the PNG files of an image into one array, and check them."""

import struct
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from kornia_rs.io import decode_image_png_u8

from hpa.data.images.catalogue import channel_path
from hpa.data.images.framing import FramingRules, Tiles, divide
from hpa.data.images.headers import PNG_SIGNATURE, DamagedFileError, png_chunks, png_problem
from hpa.data.images.opened import InvalidImageError
from hpa.errors import UserError

MAX_SIZE_PX = 8192
"""Larger than any microscope image; a small file may claim 2^31 and exhaust the memory."""
COLOUR_TYPES = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGBA"}
HASH_SIDE_PX, HASH_FREQUENCIES = 32, 8
"""A channel is shrunk to 32×32 pixels; its 8×8 lowest frequencies give 64 bits."""
COSINES = np.cos(
    np.pi * np.outer(np.arange(HASH_FREQUENCIES), np.arange(HASH_SIDE_PX) + 0.5) / HASH_SIDE_PX
)
"""float64[8,32]: the lowest rows of the discrete cosine transform (DCT-II); in float32 the order of
sums, which differs between processors, might change a bit."""


class UnreadableImageError(UserError):
    """Error for an image that cannot be packed: `path` of the file, and `reason`."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path} cannot be read",
            expected="a whole 8-bit grey PNG of one size with the image's other channels, and of a "
            "shape that pack.odd_size accepts",
            received=reason,
            remedy="fetch the file again or convert it, or remove the image's row from the CSV",
        )
        self.path, self.reason = path, reason


def read_tiles(
    folder: Path,
    image_id: str,
    names: Sequence[str],
    rules: FramingRules,
    pixel_size_um: float | None = None,
) -> Tiles:
    """Read the K channels `names` of an image as the network sees them.

    All channels must have the same size; `divide` scales, frames and divides them.

    Raises:
        UnreadableImageError: a channel is not a whole 8-bit grey PNG or differs in size from the
            others, or the rules refuse their size.
    """
    planes = read_image_planes(folder, image_id, names)
    try:
        return divide(planes, pixel_size_um, rules)
    except InvalidImageError as error:
        raise UnreadableImageError(channel_path(folder, image_id, names[0]), str(error)) from error


def read_image(folder: Path, image_id: str, names: Sequence[str], image_size: int) -> np.ndarray:
    """Read the K channels `names` of a square image as uint8[S,S,K], S = `image_size`."""
    return read_tiles(folder, image_id, names, FramingRules(image_size)).pixels[0]


def announced_shape(path: Path) -> tuple[int, int]:
    """Return the height and width that the header of a PNG states; (0, 0) if it has none."""
    with path.open("rb") as file:
        header = file.read(24)
    if len(header) < 24 or not header.startswith(PNG_SIGNATURE):
        return 0, 0
    width, height = struct.unpack(">II", header[16:])
    return height, width


def read_image_planes(folder: Path, image_id: str, names: Sequence[str]) -> list[np.ndarray]:
    """Read the channels `names` of an image, each uint8[H,W] of one size."""
    planes = [read_channel(channel_path(folder, image_id, name)) for name in names]
    if len({plane.shape for plane in planes}) > 1:
        pairs = zip(names, planes, strict=True)
        sizes = [f"{name} {plane.shape[1]}×{plane.shape[0]}" for name, plane in pairs]
        path = channel_path(folder, image_id, names[0])
        raise UnreadableImageError(path, f"channels of unequal size: {', '.join(sizes)}")
    return planes


def read_channel(path: Path) -> np.ndarray:
    """Read one 8-bit grey PNG as uint8[H,W].

    OpenCV is not used, as it silently truncates 16 bits to 8 and repairs broken files, and takes
    2.5 times as long.

    Raises:
        UnreadableImageError: the file is not a PNG, is truncated or damaged, or is not 8-bit grey.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UnreadableImageError(path, str(error.strerror)) from error
    if problem := _png_problem(content):
        raise UnreadableImageError(path, problem)
    width, height = struct.unpack_from(">II", content, len(PNG_SIGNATURE) + 8)
    try:
        pixels: np.ndarray = decode_image_png_u8(content, (height, width), "mono")
    except Exception as error:  # the decoder raises plain exceptions
        raise UnreadableImageError(path, f"pixels that do not decode: {error}") from error
    return pixels[..., 0]


def perceptual_hash(pixels: np.ndarray) -> str:
    """Return the 64-bit perceptual hash of each channel of uint8[S,S,K], as 16·K hex digits.

    A channel is reduced to 32×32 pixels by area averaging. Each bit tells whether one of the 8×8
    lowest frequencies of its discrete cosine transform exceeds their median. Brightness, contrast,
    noise and size change few bits; a different image changes about half. A constant channel has at
    most one bit set.

    Source: Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010;
    imagehash.phash, which resizes with a Lanczos filter, agrees in nearly all bits.
    """
    return _bits_above_median(_lowest_frequencies(pixels))


def view_hashes(pixels: np.ndarray) -> str:
    """Return the hashes of the eight views of uint8[S,S,K], separated by spaces.

    The views are the rotations by multiples of 90 degrees and their mirror images; the first is
    the image as it is. A flip changes the sign of the odd frequencies, and a transposition
    transposes them, so the views themselves are not computed.
    """
    lowest = _lowest_frequencies(pixels)
    sign = np.where(np.arange(HASH_FREQUENCIES) % 2, -1.0, 1.0)
    views = [
        vertical[:, None] * horizontal * turned
        for turned in (lowest, lowest.swapaxes(1, 2))
        for vertical in (np.ones_like(sign), sign)
        for horizontal in (np.ones_like(sign), sign)
    ]
    return " ".join(map(_bits_above_median, views))


def _lowest_frequencies(pixels: np.ndarray) -> np.ndarray:
    """Return the lowest frequencies of each channel, float64[K,8,8]."""
    side = (HASH_SIDE_PX, HASH_SIDE_PX)
    small = [cv2.resize(each, side, interpolation=cv2.INTER_AREA) for each in cv2.split(pixels)]
    planes = np.array(small, np.float64)
    lowest: np.ndarray = COSINES @ planes @ COSINES.T
    return np.round(lowest, 1)  # removes rounding noise in constant channels


def _bits_above_median(lowest: np.ndarray) -> str:
    """Return which frequencies float64[K,8,8] exceed the median of their channel, as hex."""
    values = lowest.reshape(len(lowest), -1)
    middle = np.sort(values, axis=1)[:, values.shape[1] // 2 - 1 :][:, :2].mean(axis=1)
    return np.packbits(values > middle[:, None]).tobytes().hex()


def _png_problem(content: bytes) -> str | None:
    """Return why bytes are not a whole 8-bit grey PNG, or None; verifies the CRC of every chunk."""
    if not content.startswith(PNG_SIGNATURE):
        return f"{len(content)} bytes that are not a PNG" if content else "an empty file"
    try:
        chunks = png_chunks(content)
        return _header_problem(next(chunks)[1]) or png_problem(content)
    except DamagedFileError as error:
        return str(error)


def _header_problem(header: bytes) -> str | None:
    width, height, depth, colour_type = struct.unpack(">IIBB3x", header)
    if (depth, colour_type) != (8, 0):
        article, kind = "an" if depth == 8 else "a", COLOUR_TYPES.get(colour_type, "unknown")
        return f"{article} {depth}-bit {kind} PNG"
    if not (0 < width <= MAX_SIZE_PX and 0 < height <= MAX_SIZE_PX):
        return f"a PNG of {width}×{height} pixels (at most {MAX_SIZE_PX}×{MAX_SIZE_PX})"
    return None
