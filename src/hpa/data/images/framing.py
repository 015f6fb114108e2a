"""Framing: from the planes of an image to the squares that a network sees.

An image is scaled to `pack.pixel_size_um`, framed on its content, and made square or divided into
square tiles. Packing and prediction frame alike: a model's provenance says how.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import cv2
import numpy as np

from hpa.data.images.opened import InvalidImageError

DARK = 0.05
"""Share of the image's brightest grey level up to which a pixel is black: JPEG leaves traces."""
MARGIN = 0.04
"""Margin on each side, relative to the longer side of the content."""
MAX_FACTOR = 16
"""Largest factor of enlargement, and of the network's input over a field that fills less of it."""
MAX_SCALED_PX = 8192
"""Largest height or width after scaling."""
MAX_TILES = 1024
"""Largest number of tiles of one image: 32 × 32."""
STRETCH = 0.01
"""Share of a side by which it is shrunk to whole tiles, instead of a further tile for the rest."""
UNKNOWN_SIZE = "the pixel size is unknown (fetch.pixel_size_um or serve.pixel_size_um states it)"
WAYS_OUT = "pad, crop or tiles as pack.odd_size accept it"


@dataclass(frozen=True)
class FramingRules:
    """Rules of framing, as the parameters of `pack` state them.

    Attributes:
        image_size: height and width S of the network's input, in pixels.
        odd_size: refuse, pad, crop or tiles.
        framing: a key of `FRAMINGS`.
        pixel_size_um: micrometres per pixel to which images are scaled before they are framed; a
            square is then S pixels of that size. None: squares are resized to S.
    """

    image_size: int
    odd_size: str = "refuse"
    framing: str = "none"
    pixel_size_um: float | None = None


@dataclass(frozen=True, eq=False)
class Tiles:
    """An image as the network sees it.

    Attributes:
        pixels: one uint8[S,S,K], or several tiles from the upper left to the lower right.
        pixel_size_um: of these pixels; None if that of the image is unknown.
        cut: says that the middle of the image alone is here; None if all of it is.
    """

    pixels: list[np.ndarray]
    pixel_size_um: float | None
    cut: str | None


def to_tiles(
    planes: list[np.ndarray], pixel_size_um: float | None, rules: FramingRules
) -> list[np.ndarray]:
    """Return the `pixels` of `divide`."""
    return divide(planes, pixel_size_um, rules).pixels


def divide(planes: list[np.ndarray], pixel_size_um: float | None, rules: FramingRules) -> Tiles:
    """Turn K uint8[H,W] into the network's input.

    Args:
        planes: the channels, of one size.
        pixel_size_um: of the image; None if unknown: it is taken as it is, without scaling.
        rules: see `FramingRules`.

    Raises:
        InvalidImageError: the size is one that `odd_size` refuses, the factor is absurd, or there
            are too many tiles.

    >>> divided = divide([np.zeros((8, 20), np.uint8)], 0.5, FramingRules(4, "tiles"))
    >>> [tile.shape for tile in divided.pixels], divided.pixel_size_um
    ([(4, 4, 1), (4, 4, 1), (4, 4, 1)], 1.0)
    """
    framed = frame(planes, pixel_size_um, rules)
    shape = _shape(framed)
    try:
        side, corners = squares(shape, rules)
    except InvalidImageError as error:
        if rules.pixel_size_um is None or pixel_size_um is not None:
            raise
        raise InvalidImageError(f"{error}; {UNKNOWN_SIZE}") from error
    scaled_um = pixel_size_um and (rules.pixel_size_um or pixel_size_um)
    return Tiles(
        [
            merge_channels([cut(plane, *corner, side, side) for plane in framed], rules.image_size)
            for corner in corners
        ],
        scaled_um and scaled_um * side / rules.image_size,
        _cut_to_middle(shape, rules),
    )


def frame(
    planes: list[np.ndarray], pixel_size_um: float | None, rules: FramingRules
) -> list[np.ndarray]:
    """Scale K uint8[H,W] to the pixel size of the rules, frame their content, fit whole tiles."""
    scaled = _resized(planes, scaled_shape(_shape(planes), pixel_size_um, rules))
    framed = FRAMINGS[rules.framing](scaled)
    return _resized(framed, fitted_shape(_shape(framed), rules))


def scaled_shape(
    shape: tuple[int, int], pixel_size_um: float | None, rules: FramingRules
) -> tuple[int, int]:
    """Return the height and width of an image after scaling.

    A side that is a multiple of S but for a pixel of rounding becomes that multiple.

    Raises:
        InvalidImageError: the factor is absurd.

    >>> scaled_shape((1024, 2048), 0.3, FramingRules(96, "tiles", pixel_size_um=3.2))
    (96, 192)
    """
    if rules.pixel_size_um is None or pixel_size_um in (None, rules.pixel_size_um):
        return shape
    factor, size = pixel_size_um / rules.pixel_size_um, rules.image_size
    exact = [side * factor for side in shape]
    if factor > MAX_FACTOR or max(exact) > MAX_SCALED_PX or max(exact) < size / MAX_FACTOR:
        raise InvalidImageError(
            f"{shape[1]}×{shape[0]} pixels of {pixel_size_um:g} µm, which would be "
            f"{exact[1]:.0f}×{exact[0]:.0f} at the {rules.pixel_size_um:g} µm of "
            f"pack.pixel_size_um: a wrong pixel size, or a wrong unit"
        )
    multiples = [max(1, round(side / size)) * size for side in exact]
    near = [
        multiple if abs(multiple - side) <= 1 else max(1, round(side))
        for multiple, side in zip(multiples, exact, strict=True)
    ]
    return near[0], near[1]


def fitted_shape(shape: tuple[int, int], rules: FramingRules) -> tuple[int, int]:
    """Return the height and width after sides that exceed whole tiles by up to 1 % are shrunk.

    A field that is almost square would otherwise be two tiles that are almost the same.

    >>> fitted_shape((1000, 1001), FramingRules(96, "tiles"))
    (1000, 1000)
    >>> fitted_shape((1000, 1020), FramingRules(96, "tiles"))
    (1000, 1020)
    """
    if rules.odd_size != "tiles":
        return shape
    tile = rules.image_size if rules.pixel_size_um is not None else min(shape)
    whole = [length // tile * tile if tile else 0 for length in shape]
    height, width = (
        fitted if length - fitted <= STRETCH * fitted else length
        for length, fitted in zip(shape, whole, strict=True)
    )
    return height, width


def squares(shape: tuple[int, int], rules: FramingRules) -> tuple[int, list[tuple[int, int]]]:
    """Place the squares over a framed image of `shape`.

    Returns:
        Their side in pixels, and the row and column of each upper left corner, negative where a
        square extends beyond the image.

    Raises:
        InvalidImageError: `odd_size` refuses the shape, or there are too many tiles.

    >>> squares((100, 250), FramingRules(96, "tiles"))
    (100, [(0, 0), (0, 75), (0, 150)])
    """
    side = max(shape) if rules.odd_size == "pad" else min(shape)
    if rules.pixel_size_um is not None:
        side = rules.image_size
    if min(shape) == 0:
        raise InvalidImageError("no pixels")
    if rules.odd_size == "tiles":
        rows, columns = (_starts(length, side) for length in shape)
        if (n_tiles := len(rows) * len(columns)) > MAX_TILES:
            raise InvalidImageError(
                f"{shape[1]}×{shape[0]} pixels, which are {n_tiles} tiles of {side}×{side} (at "
                f"most {MAX_TILES}): cut the field, or train with a larger pack.image_size or "
                "pack.pixel_size_um"
            )
        return side, list(product(rows, columns))
    if rules.odd_size == "refuse" and not _keeps_scale(rules) and shape != (side, side):
        raise InvalidImageError(_refusal(shape, rules))
    return side, [(_middle(shape[0], side), _middle(shape[1], side))]


def count_tiles(shape: tuple[int, int], pixel_size_um: float | None, rules: FramingRules) -> int:
    """Count the squares of an image of `shape`, not framed on its content; 0 if it is refused."""
    try:
        scaled = scaled_shape(shape, pixel_size_um, rules)
        return len(squares(fitted_shape(scaled, rules), rules)[1])
    except InvalidImageError:
        return 0


def cut(plane: np.ndarray, top: int, left: int, height: int, width: int) -> np.ndarray:
    """Cut a rectangle out of uint8[H,W]; what extends beyond it is black."""
    inside = plane[max(top, 0) : top + height, max(left, 0) : left + width]
    if inside.shape == (height, width):
        return inside
    before = max(-top, 0), max(-left, 0)
    sizes = zip((height, width), before, inside.shape, strict=True)
    after = (size - start - n for size, start, n in sizes)
    return np.pad(inside, tuple(zip(before, after, strict=True)))


def merge_channels(planes: list[np.ndarray], image_size: int) -> np.ndarray:
    """Resize and merge K arrays uint8[H,H] into uint8[S,S,K], S = `image_size`.

    Larger ones are resized by area averaging, smaller ones bilinearly.
    """
    planes = _resized(planes, (image_size, image_size))
    return cv2.merge(planes).reshape(image_size, image_size, len(planes))


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


def _shape(planes: list[np.ndarray]) -> tuple[int, int]:
    return planes[0].shape[0], planes[0].shape[1]


def _resized(planes: list[np.ndarray], shape: tuple[int, int]) -> list[np.ndarray]:
    """Resize K uint8[H,W], by area averaging if they become smaller, else bilinearly."""
    height, width = shape
    if shape == _shape(planes):
        return planes
    interpolation = cv2.INTER_AREA if height * width < planes[0].size else cv2.INTER_LINEAR
    return [cv2.resize(each, (width, height), interpolation=interpolation) for each in planes]


def _cut_to_middle(shape: tuple[int, int], rules: FramingRules) -> str | None:
    """Say that the network sees the middle alone of a framed image; None if it sees all of it."""
    size = rules.image_size
    if rules.pixel_size_um is None or rules.odd_size == "tiles" or max(shape) <= size:
        return None
    return f"only the middle {size}×{size} of {shape[1]}×{shape[0]} pixels is looked at"


def _keeps_scale(rules: FramingRules) -> bool:
    """Tell whether content is padded or cropped, as a square around it has any size."""
    return rules.framing == "content" and rules.pixel_size_um is not None


def _refusal(shape: tuple[int, int], rules: FramingRules) -> str:
    height, width = shape
    if rules.pixel_size_um is None:
        return f"{width}×{height} pixels: not square ({WAYS_OUT})"
    size = rules.image_size
    return (
        f"{width}×{height} pixels instead of {size}×{size} at the {rules.pixel_size_um:g} µm of "
        f"pack.pixel_size_um ({WAYS_OUT})"
    )


def _middle(length: int, side: int) -> int:
    """Return where a square begins that is centred on an axis."""
    return int((length - side) / 2)


def _starts(length: int, side: int) -> list[int]:
    """Place the fewest tiles that cover an axis at equal distances.

    >>> _starts(250, 100), _starts(90, 100)
    ([0, 75, 150], [-5])
    """
    if length <= side:
        return [_middle(length, side)]
    n_tiles = -(-length // side)
    return [number * (length - side) // (n_tiles - 1) for number in range(n_tiles)]
