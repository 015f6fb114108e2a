"""Colours and matplotlib settings that all figures and pages share."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from matplotlib import font_manager, style

BLUE, ORANGE, GREY, INK = "#2a6f97", "#e07a1f", "#b8c0c8", "#26323c"
PLUM, FAINT, LINE, PALE = "#8a6fb0", "#93a0ac", "#e6eaee", "#eef1f4"
DASHED = (0, (4, 3))
STYLE: dict[str, Any] = {
    "figure.dpi": 120,
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.titlepad": 12,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": LINE,
    "legend.frameon": False,
    "text.parse_math": False,  # a label may hold dollar signs
    "svg.hashsalt": "hpa",  # the same ids, so the same bytes, every time
}

FALLBACKS = (
    "Noto Sans", "Noto Sans CJK JP", "Noto Sans CJK SC", "Source Han Sans", "WenQuanYi Zen Hei",
    "Arial Unicode MS", "Hiragino Sans", "PingFang SC", "Malgun Gothic", "Yu Gothic",
)  # fmt: skip
"""Fonts for characters that DejaVu Sans lacks, such as Chinese ones, if they are installed."""


@contextmanager
def house_style() -> Iterator[None]:
    """Draw in the project's style, whatever the user's matplotlibrc says.

    A character that no installed font has is drawn as a box; tables and pages still have it.
    """
    with style.context(["default", STYLE | {"font.family": _fonts()}]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .*missing from font", UserWarning)
        yield


@cache
def _fonts() -> list[str]:
    installed = set(font_manager.get_font_names())
    return ["DejaVu Sans", *(name for name in FALLBACKS if name in installed)]


def height_of(height: float, n_rows: int) -> float:
    """Return the height in inches of a figure of `n_rows` that is `height` high at 28 rows."""
    return max(2.2, height * n_rows / 28)


def flag_colours(notes: list[str]) -> list[str]:
    """Return grey for each class with a quality flag and blue for the others."""
    return [GREY if note else BLUE for note in notes]
