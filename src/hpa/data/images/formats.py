"""Pictures in PNG and JPEG, and the reduction of a picture in color to one channel.

The file's own header tells depth and samples (see `headers`), and decides what is refused. Values
of 8 and 16 bits stay as they are stored.

A picture in color is accepted for a channel if its three components are equal. The atlas shows grey
values in the channel's own color (that of display); of such pictures the largest component of that
color is taken, and one with light outside that color is refused.
"""

import io
from pathlib import Path

import cv2
import numpy as np
from kornia_rs.io import decode_image_png_u8
from PIL import Image, ImageOps

from hpa.data.images.headers import SEVERAL, announced_picture
from hpa.data.images.opened import Description, InvalidImageError, OpenedImage
from hpa.vocabulary.channels import Channel

SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg")
MAX_PIXEL_BYTES, MAX_HEADER_BYTES = 4, 20_000_000
"""Bytes of a pixel and of all else in a file, at most; three samples of 8 bits take 3."""
STRAY_BLOCK_PX, STRAY_LEVELS, STRAY_FRACTION = 16, 12, 0.25
"""A tinted picture may hold light of other colours up to 12 grey levels and a quarter of its own
light, in the mean of each block of 16×16 pixels: twice what JPEG of quality 50 adds at most."""
ORIENTATION, TURNED = 0x0112, {5, 6, 7, 8}
"""The tag of EXIF, and its values that exchange height and width."""
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
            return _decode(self._content)
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


def read_content(path: Path, max_size_px: int) -> bytes:
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


def _decode(content: bytes) -> np.ndarray:
    """Decode a picture by Pillow, upright, which takes longer than the way for plain PNGs.

    Raises:
        InvalidImageError: the bytes are cut or damaged, or hold several pictures.
    """
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as image:
            problem = _problem(image)
            pixels = None if problem else _upright(image)
    except Exception as error:  # Pillow raises many types for damaged chunks
        raise InvalidImageError(f"{len(content)} bytes, cut or damaged: {error}") from error
    if pixels is None:
        raise InvalidImageError(problem)
    return pixels.astype(np.uint16) if pixels.dtype.itemsize == 2 else pixels


def _problem(image: Image.Image) -> str | None:
    """Return why a picture is refused whose header is accepted, or None."""
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
    """Return whether there is a second picture; counting all may take seconds."""
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
