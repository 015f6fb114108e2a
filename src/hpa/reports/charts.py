"""Small charts as SVG for the report: sharp on any screen, a few hundred bytes each."""

import numpy as np

from hpa.reports.figures import BLUE, GREY, INK, ORANGE

FRAME = "#e6eaee"


def interval_bar(value: float, low: float, high: float, *, doubtful: bool) -> str:
    """Draw a value in [0,1] as a dot on its interval; no interval where that is NaN."""
    colour = GREY if doubtful else BLUE
    whisker = ""
    if not np.isnan(low + high):
        whisker = (
            f'<line x1="{_x(low)}" x2="{_x(high)}" y1="8" y2="8" stroke="{colour}" '
            'stroke-width="3" stroke-linecap="round" opacity=".45"/>'
        )
    return (
        '<svg viewBox="0 0 110 16" width="110" height="16" aria-hidden="true">'
        f'<line x1="5" x2="105" y1="8" y2="8" stroke="{FRAME}"/>{whisker}'
        f'<circle cx="{_x(value)}" cy="8" r="4" fill="{colour}"/></svg>'
    )


def threshold_bar(value: float, low: float, high: float, *, doubtful: bool) -> str:
    """Draw a threshold and the range in which draws of the validation images put it."""
    colour = GREY if doubtful else ORANGE
    band = ""
    if not np.isnan(low + high):
        band = (
            f'<rect x="{_x(low)}" y="4" width="{max(1.0, 100 * (high - low)):.1f}" height="8" '
            f'rx="2" fill="{colour}" opacity=".3"/>'
        )
    return (
        '<svg viewBox="0 0 110 16" width="110" height="16" aria-hidden="true">'
        f'<line x1="5" x2="105" y1="8" y2="8" stroke="{FRAME}"/>{band}'
        f'<line x1="{_x(value)}" x2="{_x(value)}" y1="1" y2="15" stroke="{colour}" '
        'stroke-width="3"/></svg>'
    )


def curve(
    recall: np.ndarray, precision: np.ndarray, point: tuple[float, float] | None, *, doubtful: bool
) -> str:
    """Draw precision float64[K] against recall float64[K] with the chosen point, all in [0,1]."""
    step = max(1, len(recall) // 200)
    chosen = np.unique(np.append(np.arange(0, len(recall), step), len(recall) - 1))
    path = " ".join(f"{_x(recall[k])},{_y(precision[k])}" for k in chosen)
    dot = ""
    if point is not None:
        dot = f'<circle cx="{_x(point[0])}" cy="{_y(point[1])}" r="4.5" fill="{ORANGE}"/>'
    return _square(
        f'<polyline points="{path}" fill="none" stroke="{GREY if doubtful else BLUE}" '
        f'stroke-width="1.8"/>{dot}'
    )


def empty_curve(text: str) -> str:
    """Draw the frame of a curve that does not exist, and why."""
    return _square(
        f'<text x="55" y="59" text-anchor="middle" font-size="11" fill="{INK}">{text}</text>'
    )


def reliability_curve(predicted: np.ndarray, observed: np.ndarray, n: np.ndarray) -> str:
    """Draw observed share against mean probability, float64[K] both; larger dots hold more."""
    radius = 1.5 + 3 * np.log10(np.maximum(n, 1)) / max(1.0, np.log10(max(n.max(), 1)))
    points = [(_x(p), _y(o)) for p, o in zip(predicted, observed, strict=True)]
    path = " ".join(f"{x},{y}" for x, y in points)
    dots = "".join(
        f'<circle cx="{x}" cy="{y}" r="{r:.1f}" fill="{BLUE}"/>'
        for (x, y), r in zip(points, radius, strict=True)
    )
    return _square(
        f'<line x1="5" y1="105" x2="105" y2="5" stroke="{GREY}" stroke-dasharray="3 3"/>'
        f'<polyline points="{path}" fill="none" stroke="{BLUE}" stroke-width="1.2"/>{dots}'
    )


def _square(content: str) -> str:
    grid = "".join(
        f'<line x1="5" x2="105" y1="{at}" y2="{at}" stroke="{FRAME}"/>'
        f'<line y1="5" y2="105" x1="{at}" x2="{at}" stroke="{FRAME}"/>'
        for at in (5, 55, 105)
    )
    return f'<svg viewBox="0 0 110 110" width="220" role="img">{grid}{content}</svg>'


def _x(share: float) -> str:
    return f"{5 + 100 * float(share):.1f}"


def _y(share: float) -> str:
    return f"{105 - 100 * float(share):.1f}"
