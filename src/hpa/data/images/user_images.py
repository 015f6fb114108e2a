"""Read a user's images for prediction, by the same rules as the sources.

The protein channel is required. Other absent channels are black, and predictions carry a
quality flag for them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hpa.data.images.decoding import MAX_SIZE_PX
from hpa.data.images.formats import decode_grey, read_content
from hpa.data.images.framing import FramingRules, to_tiles
from hpa.data.images.opened import InvalidImageError
from hpa.vocabulary.channels import Channel, Channels


@dataclass(frozen=True)
class ReadingRules:
    """Rules of reading an image.

    Attributes:
        channels: of the network's input, in order.
        image_size: height and width S of the network's input, in pixels.
        odd_size: treatment of images that are not square, a key of `ODD_SIZES`.
        tinted: accept colour images that show a channel in its own colour.
        sixteen_bit_white: the value of 16-bit files that maps to 255; None refuses such files.
        max_size_px: larger images are refused before they are decompressed.
        framing: a key of `FRAMINGS`.
    """

    channels: Channels
    image_size: int
    odd_size: str
    tinted: bool
    sixteen_bit_white: int | None
    max_size_px: int = MAX_SIZE_PX
    framing: str = "none"


def read_planes(sources: Mapping[str, Any], rules: ReadingRules) -> list[np.ndarray]:
    """Read the channels of an image as K uint8[H,W] of one size; absent ones are black.

    Args:
        sources: for each channel a path, the bytes of a file, or an array or nested list [H,W]
            of integer grey levels from 0 to 255. None counts as absent.
        rules: see `ReadingRules`.

    Raises:
        InvalidImageError: a channel is invalid or unknown, that of the protein is absent, or sizes
            differ.
    """
    channels = rules.channels
    if unknown := sorted(set(sources) - set(channels.names)):
        known = f"the model has {', '.join(channels.names)}"
        raise InvalidImageError(f"unknown channels {', '.join(map(repr, unknown))}: {known}")
    protein = channels.names[channels.protein]
    if sources.get(protein) is None:
        raise InvalidImageError(f"no {protein} channel, which shows the protein")
    planes = {
        channel.name: _read_plane(channel, sources[channel.name], rules)
        for channel in channels.channels
        if sources.get(channel.name) is not None
    }
    shape = planes[protein].shape
    sizes = [f"{name} {plane.shape[1]}×{plane.shape[0]}" for name, plane in planes.items()]
    if any(plane.shape != shape for plane in planes.values()):
        raise InvalidImageError(f"channels of unequal size: {', '.join(sizes)}")
    return [planes.get(name, np.zeros(shape, np.uint8)) for name in channels.names]


def to_pixels(planes: list[np.ndarray], rules: ReadingRules) -> np.ndarray:
    """Resize K uint8[H,W] to the network's input, uint8[S,S,K], exactly as `pack` does.

    Raises:
        InvalidImageError: they are not square, and `odd_size` is `refuse`.
    """
    framing = FramingRules(rules.image_size, rules.odd_size, rules.framing)
    return to_tiles(planes, None, framing)[0]


def _read_plane(channel: Channel, source: Any, rules: ReadingRules) -> np.ndarray:
    try:
        if isinstance(source, Path):
            source = read_content(source, rules.max_size_px)
        if isinstance(source, bytes):
            return decode_grey(
                source,
                channel,
                tinted=rules.tinted,
                sixteen_bit_white=rules.sixteen_bit_white,
                max_size_px=rules.max_size_px,
            )
        return _from_numbers(source, rules.max_size_px)
    except (OSError, InvalidImageError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InvalidImageError(f"{channel.name}: {reason}") from error


def _from_numbers(source: Any, max_size_px: int) -> np.ndarray:
    """Return grey levels [H,W] as uint8, if they are valid."""
    try:
        numbers = np.asarray(source)
        if numbers.dtype == object:  # rows of a table are arrays of arrays
            numbers = np.stack([np.asarray(row) for row in source])
    except (TypeError, ValueError) as error:
        raise InvalidImageError("rows of unequal length, or not numbers") from error
    if numbers.ndim != 2 or not numbers.size:
        raise InvalidImageError(f"an array of shape {numbers.shape}, not [height, width]")
    if max(numbers.shape) > max_size_px:
        height, width = numbers.shape
        raise InvalidImageError(f"{width}×{height} pixels (at most {max_size_px}×{max_size_px})")
    if numbers.dtype.kind not in "uif":
        raise InvalidImageError(f"an array of {numbers.dtype}, not of grey levels")
    wrong = ~((numbers >= 0) & (numbers <= 255) & (numbers == np.floor(numbers)))
    if wrong.any():
        raise InvalidImageError(f"the value {numbers[wrong][0]}, not an integer from 0 to 255")
    return np.ascontiguousarray(numbers.astype(np.uint8))
