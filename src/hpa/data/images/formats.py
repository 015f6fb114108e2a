"""One channel from a PNG, TIFF or JPEG file to 8-bit grey, by rules that are stated, never guessed.

- 8 bits stay as they are.
- 16 bits become round(255 · value / white), where the user says which value is white; without
  that word, or with a value above it, the file is refused: a silent scale changes intensities.
- A coloured picture is grey where its three components are equal. The atlas shows grey values
  in the channel's own colour; there the largest of the colour's components is taken.
"""

import io
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from hpa.data.images.decoding import MAX_SIZE_PX, PNG_SIGNATURE
from hpa.errors import UserError

SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg")
COMPONENTS = {"red": [0], "green": [1], "blue": [2], "yellow": [0, 1]}
"""Which of R, G and B make up the colour that a channel is shown in."""
GREY_8, GREY_16 = {"L"}, {"I;16", "I;16B", "I;16L"}
TIFF_PHOTOMETRIC, WHITE_IS_ZERO = 262, 0


class UnfitPictureError(ValueError):
    """Bytes that are no usable picture; the message says what they are."""


def is_grey_png(content: bytes) -> bool:
    """Tell whether a file's first bytes announce what the layout wants already."""
    return content.startswith(PNG_SIGNATURE) and content[24:26] == b"\x08\x00"


def read_grey(
    path: Path, channel: str, *, tinted: bool, sixteen_bit_white: int | None
) -> np.ndarray:
    """Read a file as uint8[H,W] by the rules above.

    Args:
        path: a PNG, TIFF or JPEG file.
        channel: the channel that it shows.
        tinted: coloured pictures show grey values in the channel's own colour.
        sixteen_bit_white: the value of 16-bit files that becomes 255; None refuses them.

    Raises:
        UserError: the file is damaged, of another kind, coloured or of 16 bits without leave.
    """
    try:
        return decode_grey(
            path.read_bytes(), channel, tinted=tinted, sixteen_bit_white=sixteen_bit_white
        )
    except (UnfitPictureError, OSError) as error:
        raise UserError(
            f"{path} cannot be read",
            expected="a whole PNG, TIFF or JPEG: one grey picture of 8 bits, or of 16 bits with "
            "fetch.sixteen_bit_white",
            received=str(error),
            remedy="convert the file, or set fetch.sixteen_bit_white to the value that is white "
            "(65535, or 4095 of a 12-bit camera)"
            if "16-bit" in str(error)
            else "bring the file again or convert it, or remove the image's row from the CSV",
        ) from error


def decode_grey(
    content: bytes,
    channel: str,
    *,
    tinted: bool,
    sixteen_bit_white: int | None,
    max_size_px: int = MAX_SIZE_PX,
) -> np.ndarray:
    """Decode a file's bytes as uint8[H,W] by the rules above; arguments as of `read_grey`.

    Raises:
        UnfitPictureError: the bytes are cut, damaged, of another kind, coloured, of 16 bits
            without leave, or a picture larger than `max_size_px` in height or width.
    """
    pixels = decode(content, max_size_px)
    if pixels.ndim == 3:
        pixels = _from_colour(pixels, channel, tinted)
    return pixels if pixels.dtype == np.uint8 else _from_16_bits(pixels, sixteen_bit_white)


def decode(content: bytes, max_size_px: int = MAX_SIZE_PX) -> np.ndarray:
    """Decode a whole PNG, TIFF or JPEG as uint8[H,W], uint16[H,W] or uint8[H,W,3].

    The size is read from the header and refused before any pixel is unpacked.

    Raises:
        UnfitPictureError: the bytes are cut, damaged or of another kind.
    """
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "TIFF", "JPEG")) as picture:
            if problem := _problem(picture, content, max_size_px):
                raise UnfitPictureError(problem)
            pixels = np.asarray(picture)
    except UnfitPictureError:
        raise
    except UnidentifiedImageError as error:
        what = "that are no PNG, TIFF or JPEG" if content else "in all"
        raise UnfitPictureError(f"{len(content)} bytes {what}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnfitPictureError(str(error)) from error
    except Exception as error:  # on damaged tags Pillow stumbles with whatever class it happens to
        raise UnfitPictureError(f"{len(content)} bytes, cut or damaged: {error}") from error
    return pixels.astype(np.uint16) if pixels.dtype.itemsize == 2 else pixels


def _problem(picture: Image.Image, content: bytes, max_size_px: int) -> str | None:
    """Name what makes a picture unfit, from its header alone."""
    width, height = picture.size
    if max(width, height) > max_size_px:
        return f"{width}×{height} pixels (at most {max_size_px}×{max_size_px})"
    if _has_second(picture):
        return "a file of several pictures"
    depth = content[24] if picture.format == "PNG" else None
    if picture.mode not in GREY_8 | GREY_16 | {"RGB"} or depth not in (None, 8, 16):
        kind = f"{depth}-bit {picture.format}" if depth else picture.format
        return f"a picture of mode {picture.mode} ({kind})"
    if depth == 16 and picture.mode == "RGB":  # Pillow would cut it to 8 bits without a word
        return "a coloured picture of 16-bit components"
    tags = getattr(picture, "tag_v2", {})
    if tags.get(TIFF_PHOTOMETRIC) == WHITE_IS_ZERO and picture.mode in GREY_16:
        return "a TIFF in which zero is white"
    return None


def _has_second(picture: Image.Image) -> bool:
    """Try to go to a second picture; to count all may take seconds."""
    try:
        picture.seek(1)
    except EOFError:
        return False
    return True


def _from_colour(pixels: np.ndarray, channel: str, tinted: bool) -> np.ndarray:
    """Reduce uint8[H,W,3] to uint8[H,W]."""
    if (pixels == pixels[..., :1]).all():
        return pixels[..., 0]
    if tinted:
        return pixels[..., COMPONENTS[channel]].max(axis=-1)
    raise UnfitPictureError("a coloured picture (its red, green and blue differ)")


def _from_16_bits(pixels: np.ndarray, white: int | None) -> np.ndarray:
    """Scale uint16[H,W] to uint8[H,W]: round(255 · value / white), halves up."""
    if white is None:
        raise UnfitPictureError(f"a 16-bit picture (brightest value {pixels.max()})")
    if pixels.max() > white:
        raise UnfitPictureError(
            f"a 16-bit picture whose brightest value {pixels.max()} is above "
            f"fetch.sixteen_bit_white = {white}"
        )
    return ((pixels.astype(np.uint32) * 510 + white) // (2 * white)).astype(np.uint8)
