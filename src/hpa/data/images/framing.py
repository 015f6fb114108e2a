"""Framing of an image on its content, so that a cell cut out on black fills the network's input.

Packing and prediction frame alike: a model's provenance says how its images were framed.
"""

from collections.abc import Callable

import numpy as np

DARK = 0.05
"""Share of the image's brightest grey level up to which a pixel is black: JPEG leaves traces."""
MARGIN = 0.04
"""Margin on each side, relative to the longer side of the content."""


def frame_content(planes: list[np.ndarray]) -> list[np.ndarray]:
    """Return the smallest square around the content of K uint8[H,W], with a black margin.

    The content is the bounding box of what is not black in any channel. The square may extend
    beyond the image. An image that is black altogether stays as it is.

    >>> plane = np.zeros((40, 60), np.uint8)
    >>> plane[5:30, 3:13] = 200
    >>> frame_content([plane])[0].shape  # 25 pixels high, and one of margin on each side
    (27, 27)
    """
    brightest = np.max(planes, axis=0)
    content = brightest > DARK * brightest.max()
    if not content.any():
        return planes
    rows, columns = (np.flatnonzero(content.any(axis=axis)) for axis in (1, 0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    height, width = content[box].shape
    side = round(max(height, width) * (1 + 2 * MARGIN))
    top, left = (side - height) // 2, (side - width) // 2
    around = (top, side - height - top), (left, side - width - left)
    return [np.pad(plane[box], around) for plane in planes]


FRAMINGS: dict[str, Callable[[list[np.ndarray]], list[np.ndarray]]] = {
    "none": lambda planes: planes,
    "content": frame_content,
}
"""Framings by the value of `pack.framing`, for channels of one size."""
