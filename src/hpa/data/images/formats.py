"""Conversion of a PNG, TIFF or JPEG file of one channel to 8-bit grey, by explicit rules.

- 8-bit values are unchanged.
- 16-bit values become round(255 · value / white) for a white value that the user sets. Without it,
  or if a value exceeds it, the file is refused: an implicit scale would change intensities.
- A colour image is accepted if its three components are equal. The atlas shows grey values in the
  channel's own colour (that of display); for such images the largest component of that colour is
  taken, and a picture with light outside that colour is refused.
- The file's own header tells depth, sign and samples (see `headers`); all else is refused.
"""

import io
from pathlib import Path

import cv2
import numpy as np
from kornia_rs.io import decode_image_png_u8
from PIL import Image, ImageOps, UnidentifiedImageError

from hpa.data.images.decoding import MAX_SIZE_PX
from hpa.data.images.headers import SEVERAL, announced_picture, announced_problem
from hpa.data.images.opened import Description, InvalidImageError, OpenedImage
from hpa.errors import UserError
from hpa.vocabulary.channels import Channel

SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg")
MAX_PIXEL_BYTES, MAX_HEADER_BYTES = 4, 20_000_000
"""Bytes of a pixel and of all else in a file, at most; three samples of 8 bits take 3."""
STRAY_BLOCK_PX, STRAY_LEVELS, STRAY_FRACTION = 16, 12, 0.25
"""A tinted picture may hold light of other colours up to 12 grey levels and a quarter of its own
light, in the mean of each block of 16×16 pixels: twice what JPEG of quality 50 adds at most."""
ORIENTATION, TURNED = 0x0112, {5, 6, 7, 8}
"""The tag of EXIF and TIFF, and its values that exchange height and width."""
GREY_16 = {"I;16", "I;16B", "I;16L"}


class PictureFile(OpenedImage):
    """A PNG or JPEG: one picture, grey or red-green-blue, upright as its file demands."""

    def __init__(self, source: Path | bytes, *, max_size_px: int) -> None:
        self._content = source if isinstance(source, bytes) else read_content(source, max_size_px)
        self._announced = announced = announced_picture(self._content)
        width, height = announced.width_px, announced.height_px
        if max(width, height) > max_size_px:
            raise InvalidImageError(
                f"{width}×{height} pixels (at most {max_size_px}×{max_size_px})"
            )
        if announced.has_exif and _is_on_its_side(self._content):
            width, height = height, width
        self.description = Description(
            kind=announced.kind,
            height_px=height,
            width_px=width,
            dtype=np.dtype(np.uint16 if announced.bits == 16 else np.uint8),
            is_color_picture=announced.n_samples == 3,
        )

    def read(self, channel: int, z: int = 0) -> np.ndarray:
        """Decode the picture as uint8[H,W], uint16[H,W] or uint8[H,W,3]; see `OpenedImage.read`."""
        if channel or z:
            raise ValueError(f"a picture has no channel {channel} or slice {z}")
        announced = self._announced
        if announced.kind != "PNG" or announced.has_exif or announced.bits != 8:
            return decode(self._content, max(announced.width_px, announced.height_px))
        shape = announced.height_px, announced.width_px
        mode = "mono" if announced.n_samples == 1 else "rgb"
        try:
            pixels: np.ndarray = decode_image_png_u8(self._content, shape, mode)
        except Exception as error:  # the decoder raises plain exceptions
            raise InvalidImageError(f"pixels that do not decode: {error}") from error
        return pixels[..., 0] if announced.n_samples == 1 else pixels


def _is_on_its_side(content: bytes) -> bool:
    """Return whether EXIF demands a turn by 90 degrees."""
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as image:
            return image.getexif().get(ORIENTATION, 1) in TURNED
    except Exception as error:  # Pillow raises many types for damaged tags
        raise InvalidImageError(f"{len(content)} bytes, cut or damaged: {error}") from error


def read_grey(
    path: Path, channel: Channel, *, tinted: bool, sixteen_bit_white: int | None
) -> np.ndarray:
    """Read a PNG, TIFF or JPEG file as uint8[H,W] by the rules of this module.

    Args:
        path: the file.
        channel: the channel in the file.
        tinted: accept colour images that show grey values in the channel's own colour.
        sixteen_bit_white: the value of 16-bit files that maps to 255; None refuses such files.

    Raises:
        UserError: the file is missing or damaged, or its format, colour or depth is not accepted.
    """
    try:
        return decode_grey(
            read_content(path), channel, tinted=tinted, sixteen_bit_white=sixteen_bit_white
        )
    except (InvalidImageError, OSError) as error:
        raise UserError(
            f"{path} cannot be read",
            expected="a whole PNG, TIFF or JPEG: one grey image of 8 bits, or of 16 bits with "
            f"fetch.sixteen_bit_white{f'; or one in the colour {channel.color}' if tinted else ''}",
            received=str(error),
            remedy="convert the file, or set fetch.sixteen_bit_white to the value of white "
            "(65535, or 4095 for a 12-bit camera)"
            if "16-bit image" in str(error)
            else f"copy the file again, export the {channel.name} channel alone as grey, or remove "
            "the image's row from the CSV",
        ) from error


def read_content(path: Path, max_size_px: int = MAX_SIZE_PX) -> bytes:
    """Read the bytes of a file, unless it is larger than any image of `max_size_px`.

    Raises:
        InvalidImageError: it is larger, such as a stack.
        OSError: it cannot be read.
    """
    n_bytes, limit = path.stat().st_size, MAX_PIXEL_BYTES * max_size_px**2 + MAX_HEADER_BYTES
    if n_bytes > limit:
        raise InvalidImageError(
            f"a file of {n_bytes / 1e6:,.0f} MB, more than an image of {max_size_px}×{max_size_px} "
            "pixels has: a stack, or larger"
        )
    return path.read_bytes()


def decode_grey(
    content: bytes,
    channel: Channel,
    *,
    tinted: bool,
    sixteen_bit_white: int | None,
    max_size_px: int = MAX_SIZE_PX,
) -> np.ndarray:
    """Decode the bytes of a file as `read_grey` does.

    Raises:
        InvalidImageError: the bytes are truncated or damaged, their format, colour or depth is
            not accepted, or the height or width exceeds `max_size_px`.
    """
    pixels = decode(content, max_size_px)
    if pixels.ndim == 3:
        pixels = from_colour(pixels, channel, tinted)
    return pixels if pixels.dtype == np.uint8 else _from_16_bits(pixels, sixteen_bit_white)


def decode(content: bytes, max_size_px: int = MAX_SIZE_PX) -> np.ndarray:
    """Decode a whole PNG, TIFF or JPEG as uint8[H,W], uint16[H,W] or uint8[H,W,3].

    Samples and size are checked in the header, before any pixel is decompressed. The picture stands
    upright, as its file demands (Orientation).

    Raises:
        InvalidImageError: the bytes are truncated, damaged, or announce another kind of image.
    """
    if problem := announced_problem(content):
        raise InvalidImageError(problem)
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "TIFF", "JPEG")) as image:
            problem = _problem(image, max_size_px)
            pixels = None if problem else _upright(image)
    except UnidentifiedImageError as error:
        problem = f"{len(content)} bytes, cut or damaged, or compressed in an unknown way"
        raise InvalidImageError(problem) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InvalidImageError(str(error)) from error
    except Exception as error:  # Pillow raises many types for damaged tags
        raise InvalidImageError(f"{len(content)} bytes, cut or damaged: {error}") from error
    if pixels is None:
        raise InvalidImageError(problem)
    return pixels.astype(np.uint16) if pixels.dtype.itemsize == 2 else pixels


def _problem(image: Image.Image, max_size_px: int) -> str | None:
    """Return why an image is refused whose header is accepted, or None."""
    width, height = image.size
    if max(width, height) > max_size_px:
        return f"{width}×{height} pixels (at most {max_size_px}×{max_size_px})"
    if _has_second(image):
        return SEVERAL
    if image.mode not in {"L", "RGB"} | GREY_16:
        return "cut or damaged: its samples are not what it announces"
    return None


def _upright(image: Image.Image) -> np.ndarray:
    image.load()
    ImageOps.exif_transpose(image, in_place=True)
    return np.asarray(image)


def _has_second(image: Image.Image) -> bool:
    """Return whether there is a second image; counting all may take seconds."""
    try:
        image.seek(1)
    except EOFError:
        return False
    return True


def from_colour(pixels: np.ndarray, channel: Channel, tinted: bool) -> np.ndarray:
    """Reduce uint8[H,W,3] to uint8[H,W]."""
    if (pixels == pixels[..., :1]).all():
        return pixels[..., 0]
    if not tinted:
        raise InvalidImageError("a colour image (its red, green and blue differ)")
    shares = np.array(channel.rgb, np.float32) / max(channel.rgb)
    if stray := _stray_light(pixels, shares):
        raise InvalidImageError(
            f"a colour image that holds light outside {channel.color} (up to {stray} grey levels): "
            "a composite, another channel, or a picture with a scale bar"
        )
    return pixels[..., shares == 1].max(axis=-1)


def _stray_light(pixels: np.ndarray, shares: np.ndarray) -> int:
    """Return the level of light outside a colour in uint8[H,W,3]; 0 if within tolerance.

    The colour is given by its components as shares float32[3] of the largest.

    JPEG blurs colours but keeps their mean, so means of blocks are compared.
    """
    height, width = pixels.shape[:2]
    size = (-(-width // STRAY_BLOCK_PX), -(-height // STRAY_BLOCK_PX))
    means = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    level = means[..., shares == 1].max(axis=-1)
    stray = np.abs(means - shares * level[..., None]).max(axis=-1)
    excess = stray - STRAY_FRACTION * level > STRAY_LEVELS
    return round(float(stray[excess].max())) if excess.any() else 0


def _from_16_bits(pixels: np.ndarray, white: int | None) -> np.ndarray:
    """Scale uint16[H,W] to uint8[H,W]: round(255 · value / white), half up."""
    if white is None:
        raise InvalidImageError(f"a 16-bit image (brightest value {pixels.max()})")
    if pixels.max() > white:
        raise InvalidImageError(
            f"a 16-bit image whose brightest value {pixels.max()} is above "
            f"sixteen_bit_white = {white}"
        )
    return ((pixels.astype(np.uint32) * 510 + white) // (2 * white)).astype(np.uint8)
