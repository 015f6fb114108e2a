"""Colours and matplotlib settings that all figures and pages share."""

from functools import partial
from typing import Any

from matplotlib import style

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

house_style = partial(style.context, ["default", STYLE])
"""Draw in the project's style, whatever the user's matplotlibrc says."""


def height_of(height: float, n_rows: int) -> float:
    """Return the height in inches of a figure of `n_rows` that is `height` high at 28 rows."""
    return max(2.2, height * n_rows / 28)


def flag_colours(notes: list[str]) -> list[str]:
    """Return grey for each class with a quality flag and blue for the others."""
    return [GREY if note else BLUE for note in notes]
