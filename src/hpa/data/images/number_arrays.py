"""Arrays and nested lists of grey levels, as programs send them, as an opened image."""

from typing import Any

import numpy as np

from hpa.data.images.opened import Description, InvalidImageError, OpenedImage


class Numbers(OpenedImage):
    """An array or nested list [H,W] of grey levels from 0 to 255, as one plane."""

    def __init__(self, source: Any, max_size_px: int) -> None:
        self._plane = _from_numbers(source, max_size_px)
        height, width = self._plane.shape
        self.description = Description("array", height, width, np.dtype(np.uint8))

    def read(self, channel: int, z: int = 0) -> np.ndarray:
        """Return the grey levels as uint8[H,W]."""
        return self._plane


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
