"""Faults that a picture shows by itself: blank, saturated, doubled, framed by a border, a bar, hot.

A fault does not keep an image from being used; it deserves a look.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from hpa.data.packed.training_range import BLANK_STD, SATURATED, pairs_of

BLANK, SAME, WHITE, BLACK = "blank channel", "equal channels", "saturated", "almost black"
BORDER, BAR, HOT, BLURRED = "constant border", "scale bar or drawing", "hot pixels", "out of focus"
KINDS = (BLANK, SAME, BLACK, WHITE, BLURRED, BORDER, BAR, HOT)
"""All kinds, the gravest first; `BLURRED` is found by comparison with the other images."""
BRIGHT_SHARE = 0.005
"""An image in which less is brighter than a twentieth of white is almost black."""
BORDER_SHARE = 0.02
"""Share of a side from which rows or columns of one value are a border."""
BAR_FLATNESS, BAR_FILLED, BAR_MIN_PX, BAR_PIXELS = 4, 0.95, 16, (30, 0.03)
"""A bar is four times as long as it is high, and full; pixels as bright as it are few."""
RUN = np.ones((1, BAR_MIN_PX), np.uint8)
HOT_ABOVE, HOT_BESIDE, MAX_HOT, MIN_HOT = 0.35, 0.2, 20, 32
"""Pixels are hot if few alone exceed 0.35 of the brightest value: all beside them is below 0.2."""


def faults(planes: Sequence[np.ndarray], names: Sequence[str], framed: bool) -> dict[str, str]:
    """Describe the faults of K uint8[H,W] by kind.

    Args:
        planes: the channels; absent ones are not among them.
        names: of the channels.
        framed: whether images are framed on their content, so that a black border is usual.
    """
    found: dict[str, str] = {}
    moments = [cv2.meanStdDev(plane) for plane in planes]
    stds = [float(std[0, 0]) for _, std in moments]
    blank = [name for name, std in zip(names, stds, strict=True) if std < BLANK_STD]
    white = [np.count_nonzero(plane == 255) / plane.size for plane in planes]
    same = [
        f"{names[one]} and {names[other]}"
        for one, other in pairs_of(len(planes))
        if stds[one] >= BLANK_STD and np.array_equal(planes[one], planes[other])
    ]
    is_dark = max(float(mean[0, 0]) for mean, _ in moments) < 255 / 20
    bright = np.mean(np.max(planes, axis=0) > 255 / 20) if is_dark else 1.0
    kinds = {
        BLANK: blank,
        SAME: same,
        WHITE: [
            f"{name} {share:.0%} white"
            for name, share in zip(names, white, strict=True)
            if share > SATURATED and name not in blank
        ],
        BLACK: [f"{bright:.1%} of it is not"] * bool(bright < BRIGHT_SHARE and not blank),
    }
    usable = [(plane, name) for plane, name in zip(planes, names, strict=True) if name not in blank]
    border = _border(planes) if usable and not framed and not kinds[BLACK] else 0
    kinds[BORDER] = [f"{border} px"] if border else []
    kinds[BAR] = [name for plane, name in usable if _has_bar(plane)]
    kinds[HOT] = [f"{n} in {name}" for plane, name in usable if (n := _n_hot(plane))]
    for kind, words in kinds.items():
        if words:
            found[kind] = ", ".join(words)
    return found


def _border(planes: Sequence[np.ndarray]) -> int:
    """Return the width of the widest border in which every channel is constant; 0 without one."""
    widths = []
    for axis in (0, 1):
        constant = np.all([plane.max(axis=axis) == plane.min(axis=axis) for plane in planes], 0)
        for line in (constant, constant[::-1]):
            width = int(np.argmin(line))
            if width >= max(2, BORDER_SHARE * len(line)):
                widths.append(width)
    return max(widths, default=0)


def _has_bar(plane: np.ndarray) -> bool:
    """Return whether the brightest value of uint8[H,W] fills a long flat rectangle."""
    brightest = plane == plane.max()
    n_pixels = int(np.count_nonzero(brightest))
    if not BAR_PIXELS[0] <= n_pixels <= BAR_PIXELS[1] * plane.size:
        return False
    mask = brightest.view(np.uint8)
    if not any(cv2.erode(mask, run).any() for run in (RUN, RUN.T)):
        return False  # a tenth of the time of what follows
    _, _, boxes, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    _, _, width, height, area = boxes[1:].T
    long, short = np.maximum(width, height), np.minimum(width, height)
    is_bar = (long >= BAR_MIN_PX) & (short >= 2) & (long >= BAR_FLATNESS * short)
    return bool(np.any(is_bar & (area >= BAR_FILLED * width * height)))


def _n_hot(plane: np.ndarray) -> int:
    """Count the hot pixels of uint8[H,W]; 0 if anything else is as bright."""
    brightest = int(plane.max())
    is_bright = plane > HOT_ABOVE * brightest
    if brightest < MIN_HOT or np.count_nonzero(is_bright) > MAX_HOT:
        return 0
    rows, columns = np.nonzero(is_bright)
    is_alone = [
        _brightest_around(plane, int(row), int(column)) < HOT_BESIDE * brightest
        for row, column in zip(rows, columns, strict=True)
    ]
    return len(is_alone) if all(is_alone) else 0


def _brightest_around(plane: np.ndarray, row: int, column: int) -> int:
    """Return the brightest value beside a pixel."""
    around = plane[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2].ravel()
    return int(np.partition(around, -2)[-2]) if around.size > 1 else 0


def blurred(focus: np.ndarray, names: Sequence[str], min_images: int = 20) -> dict[int, str]:
    """Find images that are far less sharp than the others.

    Args:
        focus: float64[N,K], as `training_range.brightness_and_focus` measures it; NaN for blank.
        names: of the channels.
        min_images: fewer have no usual focus.

    Returns:
        The channels by row, if they are below the median by more than five times the median
        absolute deviation, scaled to a standard deviation.
    """
    if len(focus) < min_images:
        return {}
    middle = np.nanmedian(focus, axis=0)
    spread = 1.4826 * np.nanmedian(np.abs(focus - middle), axis=0)
    low = focus < middle - np.maximum(5 * spread, 0.5)
    return {
        int(row): ", ".join(name for name, is_low in zip(names, low[row], strict=True) if is_low)
        for row in np.flatnonzero(low.any(axis=1))
    }
