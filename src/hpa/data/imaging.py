"""One image: from four PNG files to one array, checked on the way."""

import struct
import zlib
from pathlib import Path

import cv2
import imagehash
import numpy as np
from PIL import Image

from hpa.data.catalogue import channel_path
from hpa.errors import UserError
from hpa.labels import CHANNELS

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_SIZE_PX = 8192
"""No microscope's picture is larger; a small file may claim 2^31 and fill the memory."""
COLOUR_TYPES = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGBA"}


def read_image(folder: Path, image_id: str, image_size: int) -> np.ndarray:
    """Read the four channels of an image as uint8[S,S,4], S = `image_size`.

    A larger original is shrunk by averaging over areas, a smaller one enlarged bilinearly.

    Raises:
        UserError: a channel is no whole 8-bit grey PNG, is not square, or differs in size.
    """
    channels = [read_channel(channel_path(folder, image_id, channel)) for channel in CHANNELS]
    shapes = {channel.shape for channel in channels}
    height, width = channels[0].shape
    if len(shapes) > 1 or height != width:
        raise UserError(
            f"image {image_id} in {folder} has channels of unfit sizes",
            expected="four squares of one size",
            received=", ".join(
                f"{name} {channel.shape[1]}×{channel.shape[0]}"
                for name, channel in zip(CHANNELS, channels, strict=True)
            ),
            remedy="crop or resize the files, or remove the row from the CSV",
        )
    if height == image_size:
        return np.stack(channels, axis=-1)
    interpolation = cv2.INTER_AREA if height > image_size else cv2.INTER_LINEAR
    size = (image_size, image_size)
    return np.stack([cv2.resize(each, size, interpolation=interpolation) for each in channels], -1)


def read_channel(path: Path) -> np.ndarray:
    """Read one 8-bit grey PNG as uint8[H,W].

    OpenCV alone would cut 16 bits to 8 and mend broken files without a word.

    Raises:
        UserError: the file is no PNG, is cut or damaged, or is not 8-bit grey.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, str(error.strerror)) from error
    if problem := _png_problem(content):
        raise _unreadable(path, problem)
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.ndim != 2:
        raise _unreadable(path, "pixels that do not decode")
    return pixels


def perceptual_hash(pixels: np.ndarray) -> str:
    """Return the 64-bit perceptual hash of each channel of uint8[S,S,4], as 64 hex digits.

    Near-equal channels differ in few bits. Source: imagehash.phash.
    """
    return "".join(
        str(imagehash.phash(Image.fromarray(pixels[..., channel])))
        for channel in range(len(CHANNELS))
    )


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


def _unreadable(path: Path, received: str) -> UserError:
    return UserError(
        f"{path} cannot be read",
        expected="a whole 8-bit grey PNG",
        received=received,
        remedy="fetch the file again or convert it, or remove the image's row from the CSV",
    )
